package pkcs11

import (
	"errors"
	"slices"

	"github.com/miekg/pkcs11"
)

// is reports whether err is or wraps one of the given return values of PKCS#11.
func is(err error, values ...uint) bool {
	value, ok := errors.AsType[pkcs11.Error](err)
	return ok && slices.Contains(values, uint(value))
}

// isLost reports whether err means that a session, or what it knows, is of no use any
// more. Another session may work: the token may have been removed and have come back, or
// the service behind the module may have been restarted.
func isLost(err error) bool {
	return is(err, pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED,
		pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_TOKEN_NOT_RECOGNIZED, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_DEVICE_ERROR,
		pkcs11.CKR_SLOT_ID_INVALID, pkcs11.CKR_USER_NOT_LOGGED_IN, pkcs11.CKR_KEY_HANDLE_INVALID, pkcs11.CKR_OBJECT_HANDLE_INVALID,
		pkcs11.CKR_OPERATION_ACTIVE, pkcs11.CKR_OPERATION_NOT_INITIALIZED, pkcs11.CKR_FUNCTION_FAILED, pkcs11.CKR_GENERAL_ERROR)
}
