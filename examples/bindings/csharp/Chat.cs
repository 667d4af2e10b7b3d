// A chat through the C ABI of llmcore: Chat.exe MODEL_DIRECTORY [QUESTION]
using System;
using System.IO;
using System.Runtime.InteropServices;
using System.Text;

static class Native {
  const string Library = "llmcore";
  [DllImport(Library)] public static extern IntPtr llmcore_error_message(IntPtr error);
  [DllImport(Library)] public static extern void llmcore_error_destroy(IntPtr error);
  [DllImport(Library)] public static extern IntPtr llmcore_model_load(
      byte[] path, UIntPtr pathSize, IntPtr options, out IntPtr model);
  [DllImport(Library)] public static extern void llmcore_model_destroy(IntPtr model);
  [DllImport(Library)] public static extern IntPtr llmcore_session_create(
      IntPtr model, out IntPtr session);
  [DllImport(Library)] public static extern IntPtr llmcore_session_append_message(
      IntPtr session, byte[] role, UIntPtr roleSize, byte[] content, UIntPtr contentSize);
  [DllImport(Library)] public static extern void llmcore_session_destroy(IntPtr session);
  [DllImport(Library)] public static extern IntPtr llmcore_sampling_params_create(out IntPtr made);
  [DllImport(Library)] public static extern IntPtr llmcore_sampling_params_set_temperature(
      IntPtr parameters, float temperature);
  [DllImport(Library)] public static extern void llmcore_sampling_params_destroy(IntPtr parameters);
  [DllImport(Library)] public static extern IntPtr llmcore_session_generate(
      IntPtr session, IntPtr parameters, out IntPtr generation);
  [DllImport(Library)] public static extern IntPtr llmcore_generation_next(
      IntPtr generation, out IntPtr lentEvent);
  [DllImport(Library)] public static extern void llmcore_generation_destroy(IntPtr generation);
  [DllImport(Library)] public static extern IntPtr llmcore_event_text(IntPtr lentEvent);
  [DllImport(Library)] public static extern UIntPtr llmcore_event_text_size(IntPtr lentEvent);
}

class LlmcoreException : Exception {
  public LlmcoreException(string message) : base(message) {}

  // Takes over what a function returned.
  public static void Check(IntPtr error) {
    if (error == IntPtr.Zero) return;
    IntPtr text = Native.llmcore_error_message(error);
    int size = 0;
    while (Marshal.ReadByte(text, size) != 0) ++size;
    string message = Encoding.UTF8.GetString(Bytes(text, size));
    Native.llmcore_error_destroy(error);
    throw new LlmcoreException(message);
  }

  public static byte[] Bytes(IntPtr data, int size) {
    var bytes = new byte[size];
    Marshal.Copy(data, bytes, 0, size);
    return bytes;
  }
}

class Conversation : IDisposable {
  IntPtr session;

  public Conversation(string path) {
    byte[] utf8 = Encoding.UTF8.GetBytes(path);
    IntPtr model;
    LlmcoreException.Check(
        Native.llmcore_model_load(utf8, (UIntPtr)utf8.Length, IntPtr.Zero, out model));
    IntPtr error = Native.llmcore_session_create(model, out session);
    Native.llmcore_model_destroy(model);  // the session keeps what it needs
    LlmcoreException.Check(error);
  }

  public void Dispose() {
    Native.llmcore_session_destroy(session);
    session = IntPtr.Zero;
  }

  public void Ask(string question, Stream output) {
    byte[] role = Encoding.UTF8.GetBytes("user");
    byte[] text = Encoding.UTF8.GetBytes(question);
    LlmcoreException.Check(Native.llmcore_session_append_message(
        session, role, (UIntPtr)role.Length, text, (UIntPtr)text.Length));
    IntPtr parameters = IntPtr.Zero, reply = IntPtr.Zero, lent;
    try {
      LlmcoreException.Check(Native.llmcore_sampling_params_create(out parameters));
      LlmcoreException.Check(Native.llmcore_sampling_params_set_temperature(parameters, 0));
      LlmcoreException.Check(Native.llmcore_session_generate(session, parameters, out reply));
      for (;;) {
        LlmcoreException.Check(Native.llmcore_generation_next(reply, out lent));
        if (lent == IntPtr.Zero) break;
        int size = (int)Native.llmcore_event_text_size(lent);
        output.Write(LlmcoreException.Bytes(Native.llmcore_event_text(lent), size), 0, size);
        output.Flush();
      }
      output.WriteByte((byte)'\n');
    } finally {
      Native.llmcore_generation_destroy(reply);
      Native.llmcore_sampling_params_destroy(parameters);
    }
  }

  static int Main(string[] arguments) {
    if (arguments.Length == 0) {
      Console.Error.WriteLine("usage: Chat.exe MODEL_DIRECTORY [QUESTION]");
      return 2;
    }
    try {
      using (var chat = new Conversation(arguments[0]))
      using (Stream output = Console.OpenStandardOutput()) {
        if (arguments.Length > 1) chat.Ask(arguments[1], output);
        for (string line; arguments.Length == 1 && (line = Console.ReadLine()) != null;)
          chat.Ask(line, output);
      }
      return 0;
    } catch (LlmcoreException exception) {
      Console.Error.WriteLine(exception.Message);
      return 1;
    }
  }
}
