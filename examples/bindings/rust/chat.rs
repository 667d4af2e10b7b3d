// A chat through the C ABI of llmcore: chat MODEL_DIRECTORY [QUESTION]
use std::io::{self, BufRead, Write};
use std::{env, ffi::CStr, os::raw::c_char, process, ptr, slice};

// Opaque handles of the C ABI.
enum CError {}
enum CModel {}
enum CSession {}
enum CParams {}
enum CGeneration {}
enum CEvent {}

#[rustfmt::skip]
#[link(name = "llmcore")]
extern "C" {
    fn llmcore_error_message(error: *const CError) -> *const c_char;
    fn llmcore_error_destroy(error: *mut CError);
    fn llmcore_model_load(path: *const u8, size: usize, options: *const u8,
                          out: *mut *mut CModel) -> *mut CError;
    fn llmcore_model_destroy(model: *mut CModel);
    fn llmcore_session_create(model: *const CModel, out: *mut *mut CSession) -> *mut CError;
    fn llmcore_session_append_message(session: *mut CSession, role: *const u8, role_size: usize,
                                      content: *const u8, content_size: usize) -> *mut CError;
    fn llmcore_session_destroy(session: *mut CSession);
    fn llmcore_sampling_params_create(out: *mut *mut CParams) -> *mut CError;
    fn llmcore_sampling_params_set_temperature(params: *mut CParams, value: f32) -> *mut CError;
    fn llmcore_sampling_params_destroy(params: *mut CParams);
    fn llmcore_session_generate(session: *mut CSession, params: *const CParams,
                                out: *mut *mut CGeneration) -> *mut CError;
    fn llmcore_generation_next(reply: *mut CGeneration, out: *mut *const CEvent) -> *mut CError;
    fn llmcore_generation_destroy(generation: *mut CGeneration);
    fn llmcore_event_text(event: *const CEvent) -> *const u8;
    fn llmcore_event_text_size(event: *const CEvent) -> usize;
}

// Takes over what a function returned.
fn check(error: *mut CError) -> Result<(), String> {
    if error.is_null() {
        return Ok(());
    }
    unsafe {
        let message = CStr::from_ptr(llmcore_error_message(error)).to_string_lossy().into_owned();
        llmcore_error_destroy(error);
        Err(message)
    }
}

struct Chat(*mut CSession);

impl Chat {
    fn open(path: &str) -> Result<Chat, String> {
        let (mut model, mut session) = (ptr::null_mut(), ptr::null_mut());
        unsafe {
            check(llmcore_model_load(path.as_ptr(), path.len(), ptr::null(), &mut model))?;
            let created = check(llmcore_session_create(model, &mut session));
            llmcore_model_destroy(model); // the session keeps what it needs
            created.map(|()| Chat(session))
        }
    }

    fn ask(&mut self, question: &str, out: &mut impl Write) -> Result<(), String> {
        let (role, text) = ("user".as_ptr(), question.as_ptr());
        let (mut params, mut reply) = (ptr::null_mut(), ptr::null_mut());
        unsafe {
            check(llmcore_session_append_message(self.0, role, 4, text, question.len()))?;
            check(llmcore_sampling_params_create(&mut params))?;
            let begun = check(llmcore_sampling_params_set_temperature(params, 0.0))
                .and_then(|()| check(llmcore_session_generate(self.0, params, &mut reply)));
            llmcore_sampling_params_destroy(params);
            let told = begun.and_then(|()| Chat::tell(reply, out));
            llmcore_generation_destroy(reply);
            told
        }
    }

    unsafe fn tell(reply: *mut CGeneration, out: &mut impl Write) -> Result<(), String> {
        let mut event = ptr::null();
        loop {
            check(llmcore_generation_next(reply, &mut event))?;
            if event.is_null() {
                return out.write_all(b"\n").map_err(|e| e.to_string());
            }
            let size = llmcore_event_text_size(event);
            let text = slice::from_raw_parts(llmcore_event_text(event), size);
            out.write_all(text).and_then(|()| out.flush()).map_err(|e| e.to_string())?;
        }
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        unsafe { llmcore_session_destroy(self.0) }
    }
}

fn run() -> Result<(), String> {
    let arguments: Vec<String> = env::args().collect();
    let path = arguments.get(1).ok_or("usage: chat MODEL_DIRECTORY [QUESTION]")?;
    let mut chat = Chat::open(path)?;
    if let Some(question) = arguments.get(2) {
        return chat.ask(question, &mut io::stdout());
    }
    for line in io::stdin().lock().lines() {
        chat.ask(&line.map_err(|e| e.to_string())?, &mut io::stdout())?;
    }
    Ok(())
}

fn main() {
    if let Err(message) = run() {
        eprintln!("{}", message);
        process::exit(1);
    }
}
