// Package handler creates and verifies signed tokens: my_PAYLOAD.SIGNATURE, both parts in base64url.
//
// The payload is a small JSON object: see payload.go. The signature is that of its base64url text,
// so a token has exactly one spelling.
package handler

import (
	"encoding/base64"
	"encoding/json/v2"
	"fmt"
	"strings"

	types "my-handler/gen/keyward_handler_types"
	wit "my-handler/gen/wit/types"
)

const (
	// prefix is the beginning of every token. The operator lists it in `prefixes`.
	prefix = "my_"
	// key is the label of the key. The operator binds it to a key ring, and this handler never sees
	// the key.
	key = "token"
)

// Host is what this handler imports. Time and randomness come from it only, so that tests can
// replace them.
type Host interface {
	// Now returns the time in Unix seconds, the same for the whole call.
	Now() uint64
	// Random returns unpredictable bytes.
	Random(count uint32) []byte
	// Sign returns the signature over a message. Its error says nothing about the message.
	Sign(label string, message []byte) ([]byte, error)
	// Verify returns whether a signature is that of a message. Its error says nothing about either.
	Verify(label string, message, signature []byte) (bool, error)
}

// Create creates a token.
//
// Each call of Create and Verify gets a fresh instance: no state is kept. A panic aborts the call,
// and its message is in the operator's log.
func Create(host Host, request types.CreateRequest) (types.Created, *types.CreateError) {
	made := payload{
		Actor:        request.ActorId,
		IssuedAt:     host.Now(),
		Lifetime:     pointer(request.ExpiresAfter),
		Restrictions: newAllowList(request.Restrictions),
		ID:           encode(host.Random(16)),
	}
	// The contract has no later time. These tokens carry everything else: refuse here what yours
	// cannot, instead of dropping it.
	if made.expiresAt().SomeOr(0) > lastSecond {
		denied := types.MakeCreateErrorDenied(types.CreateDenied{
			Denial:  types.Denial_InvalidRequest,
			Message: "the token would expire after the year 9999",
		})
		return types.Created{}, &denied
	}
	text := encode(made.write())
	signature, err := host.Sign(key, []byte(text))
	if err != nil {
		failed := types.MakeCreateErrorFailed(noKey(err))
		return types.Created{}, &failed
	}
	return types.Created{
		Token:     prefix + text + "." + encode(signature),
		TokenId:   wit.Some(made.ID),
		ExpiresAt: made.expiresAt(),
	}, nil
}

// Verify verifies a token. An invalid token is a verdict, not a failure.
func Verify(host Host, token string) (types.Verdict, *types.Failure) {
	signed, isMine := strings.CutPrefix(token, prefix)
	if !isMine {
		return types.MakeVerdictNotMine(), nil
	}
	text, signatureText, isPair := strings.Cut(signed, ".")
	data, isPayload := decode(text)
	signature, isSignature := decode(signatureText)
	if !isPair || !isPayload || !isSignature {
		return rejected(types.Reason_Malformed, "Invalid token: wrong format"), nil
	}
	// Nothing is read from a payload that this handler did not sign.
	isSigned, err := host.Verify(key, []byte(text), signature)
	if err != nil {
		failure := noKey(err)
		return types.Verdict{}, &failure
	}
	if !isSigned {
		return rejected(types.Reason_BadSignature, "Invalid token signature"), nil
	}
	found, err := readPayload(data)
	if err != nil {
		return rejected(types.Reason_Malformed, "Invalid token: wrong format"), nil
	}
	expiresAt := found.expiresAt()
	if expiresAt.IsSome() && host.Now() > expiresAt.Some() {
		return rejected(types.Reason_Expired, "Token has expired"), nil
	}
	actor, err := json.Marshal(map[string]string{"id": found.Actor})
	if err != nil {
		panic(err)
	}
	return types.MakeVerdictAccepted(types.Acceptance{
		Actor:        string(actor),
		Restrictions: found.Restrictions.restrictions(),
		TokenId:      wit.Some(found.ID),
		IssuedAt:     wit.Some(found.IssuedAt),
		ExpiresAt:    expiresAt,
	}), nil
}

// rejected returns a verdict with a sentence for the caller.
func rejected(reason types.Reason, message string) types.Verdict {
	return types.MakeVerdictRejected(types.Rejection{Reason: reason, Message: message})
}

// noKey describes a missing key to the operator. It says nothing about the token: no verdict.
func noKey(err error) types.Failure {
	return types.MakeFailureInternal(fmt.Sprintf("the key `%s`: %v", key, err))
}

// encode encodes in base64url without padding.
func encode(data []byte) string {
	return base64.RawURLEncoding.EncodeToString(data)
}

// decode decodes base64url, and returns whether the text is the only spelling of its bytes.
func decode(text string) ([]byte, bool) {
	// The decoder skips line breaks and ignores unused bits, so compare.
	data, err := base64.RawURLEncoding.DecodeString(text)
	return data, err == nil && encode(data) == text
}
