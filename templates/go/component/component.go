// Package component connects the handler with the imports and exports of the generated bindings.
package component

import (
	"errors"

	handler "my-handler"
	"my-handler/gen/keyward_handler_clock"
	"my-handler/gen/keyward_handler_keys"
	"my-handler/gen/keyward_handler_random"
	types "my-handler/gen/keyward_handler_types"
	wit "my-handler/gen/wit/types"
)

// Create is the export `create`.
func Create(request types.CreateRequest) wit.Result[types.Created, types.CreateError] {
	return result(handler.Create(host{}, request))
}

// Verify is the export `verify`.
func Verify(token string) wit.Result[types.Verdict, types.Failure] {
	return result(handler.Verify(host{}, token))
}

// result returns a value, or an error if there is one, as the bindings have it.
func result[T, E any](value T, err *E) wit.Result[T, E] {
	if err != nil {
		return wit.Err[T](*err)
	}
	return wit.Ok[T, E](value)
}

// host is the real host of the handler.
type host struct{}

func (host) Now() uint64 {
	return keyward_handler_clock.Now().Seconds
}

func (host) Random(count uint32) []byte {
	return keyward_handler_random.Bytes(count)
}

func (host) Sign(label string, message []byte) ([]byte, error) {
	return unwrap(keyward_handler_keys.Sign(label, message))
}

func (host) Verify(label string, message, signature []byte) (bool, error) {
	return unwrap(keyward_handler_keys.Verify(label, message, signature))
}

// unwrap returns the result of `keys` as Go has it.
func unwrap[T any](result wit.Result[T, keyward_handler_keys.KeyError]) (value T, err error) {
	switch {
	case result.IsOk():
		return result.Ok(), nil
	case result.Err() == keyward_handler_keys.KeyError_NotGranted:
		return value, errors.New("not granted")
	default:
		return value, errors.New("not permitted now")
	}
}
