//go:build unix

package pkcs11

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

// probe calls C_GetFunctionList of the module at path. If there is no such module or
// function, *why becomes a text, which must be freed. The module stays loaded.
static unsigned long probe(const char *path, char **why) {
	void *module = dlopen(path, RTLD_LAZY);
	unsigned long (*get)(void **) = module ? (unsigned long (*)(void **)) dlsym(module, "C_GetFunctionList") : NULL;
	void *list = NULL;
	if (get == NULL) {
		const char *error = dlerror(); // of this thread
		*why = strdup(error ? error : "it has no function C_GetFunctionList");
		return 0;
	}
	return get(&list);
}
*/
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/miekg/pkcs11"
)

// probe returns an error if the module at path cannot be loaded, for which pkcs11.New has no
// reason, or if it does not give its functions: then pkcs11.New succeeds, and the first call
// crashes the process.
func probe(path string) error {
	file := C.CString(path)
	defer C.free(unsafe.Pointer(file))
	var why *C.char
	value := C.probe(file, &why)
	defer C.free(unsafe.Pointer(why))
	switch {
	case why != nil:
		return fmt.Errorf("%w: %s", errNoModule(path), C.GoString(why))
	case value > 0:
		return fmt.Errorf("%s gives no functions: %w: look at the settings of the module, such as P11_KIT_SERVER_ADDRESS (unix:path=…) for p11-kit's client", path, pkcs11.Error(value))
	}
	return nil
}
