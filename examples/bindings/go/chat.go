// A chat through the C ABI of llmcore: chat MODEL_DIRECTORY [QUESTION]
package main

/*
#cgo LDFLAGS: -lllmcore
#include <llmcore/llmcore.h>
#include <stdlib.h>
*/
import "C"

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"
)

// check takes over what a function returned.
func check(e *C.llmcore_error) error {
	if e == nil {
		return nil
	}
	defer C.llmcore_error_destroy(e)
	return errors.New(C.GoString(C.llmcore_error_message(e)))
}

// text lends a string to one call; release frees the copy.
func text(s string) (data *C.char, size C.size_t, release func()) {
	data = C.CString(s)
	return data, C.size_t(len(s)), func() { C.free(unsafe.Pointer(data)) }
}

type chat struct{ session *C.llmcore_session }

func open(path string) (*chat, error) {
	data, size, release := text(path)
	defer release()
	var model *C.llmcore_model
	if err := check(C.llmcore_model_load(data, size, nil, &model)); err != nil {
		return nil, err
	}
	defer C.llmcore_model_destroy(model) // the session keeps what it needs
	c := &chat{}
	return c, check(C.llmcore_session_create(model, &c.session))
}

func (c *chat) close() { C.llmcore_session_destroy(c.session) }

func (c *chat) ask(question string, out io.Writer) error {
	role, roleSize, releaseRole := text("user")
	defer releaseRole()
	data, size, release := text(question)
	defer release()
	if err := check(C.llmcore_session_append_message(c.session, role, roleSize, data, size)); err != nil {
		return err
	}

	var params *C.llmcore_sampling_params
	if err := check(C.llmcore_sampling_params_create(&params)); err != nil {
		return err
	}
	defer C.llmcore_sampling_params_destroy(params)
	if err := check(C.llmcore_sampling_params_set_temperature(params, 0)); err != nil {
		return err
	}

	var reply *C.llmcore_generation
	if err := check(C.llmcore_session_generate(c.session, params, &reply)); err != nil {
		return err
	}
	defer C.llmcore_generation_destroy(reply)
	for {
		var event *C.llmcore_event
		if err := check(C.llmcore_generation_next(reply, &event)); err != nil {
			return err
		}
		if event == nil {
			_, err := fmt.Fprintln(out)
			return err
		}
		piece := C.GoStringN(C.llmcore_event_text(event), C.int(C.llmcore_event_text_size(event)))
		if _, err := io.WriteString(out, piece); err != nil {
			return err
		}
	}
}

func run(arguments []string) error {
	if len(arguments) < 2 {
		return errors.New("usage: chat MODEL_DIRECTORY [QUESTION]")
	}
	c, err := open(arguments[1])
	if err != nil {
		return err
	}
	defer c.close()
	if len(arguments) > 2 {
		return c.ask(arguments[2], os.Stdout)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := c.ask(lines.Text(), os.Stdout); err != nil {
			return err
		}
	}
	return lines.Err()
}

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
