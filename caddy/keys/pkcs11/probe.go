//go:build unix

package pkcs11

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>

// probe calls C_GetFunctionList of the module at path. It returns -1 if there is no such
// module or function. The module stays loaded.
static long probe(const char *path) {
	void *module = dlopen(path, RTLD_LAZY);
	unsigned long (*get)(void **) = module ? (unsigned long (*)(void **)) dlsym(module, "C_GetFunctionList") : NULL;
	void *list = NULL;
	return get ? (long) get(&list) : -1;
}
*/
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/miekg/pkcs11"
)

// probe returns an error if the module at path does not give its functions. Then
// pkcs11.New succeeds, and the first call crashes the process.
func probe(path string) error {
	file := C.CString(path)
	defer C.free(unsafe.Pointer(file))
	if value := C.probe(file); value > 0 {
		return fmt.Errorf("%s gives no functions: %w: look at the settings of the module, such as P11_KIT_SERVER_ADDRESS (unix:path=…) for p11-kit's client", path, pkcs11.Error(value))
	}
	return nil // pkcs11.New says if there is no module
}
