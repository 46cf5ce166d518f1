package handler

import (
	"encoding/json/v2"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	types "my-handler/gen/keyward_handler_types"
	wit "my-handler/gen/wit/types"
)

const (
	now = 1_800_000_000
	id  = "AAECAwQFBgcICQoLDA0ODw"
)

// fake is a host with the random bytes 0, 1, 2, …, and a key whose "signature" is the message
// backwards.
type fake struct {
	now    uint64
	hasKey bool
}

func (f fake) Now() uint64 { return f.now }

func (f fake) Random(count uint32) []byte {
	bytes := make([]byte, count)
	for i := range bytes {
		bytes[i] = byte(i)
	}
	return bytes
}

func (f fake) Sign(label string, message []byte) ([]byte, error) {
	if !f.hasKey || label != "token" {
		return nil, errors.New("not granted")
	}
	signature := slices.Clone(message)
	slices.Reverse(signature)
	return signature, nil
}

func (f fake) Verify(label string, message, signature []byte) (bool, error) {
	expected, err := f.Sign(label, message)
	return slices.Equal(expected, signature), err
}

func request(actor string, lifetime wit.Option[uint32]) types.CreateRequest {
	return types.CreateRequest{ActorId: actor, ExpiresAfter: lifetime}
}

func create(t *testing.T, request types.CreateRequest) types.Created {
	t.Helper()
	created, err := Create(fake{now, true}, request)
	if err != nil {
		t.Fatalf("not created: %v", err)
	}
	return created
}

func accepted(t *testing.T, at uint64, token string) types.Acceptance {
	t.Helper()
	verdict, failure := Verify(fake{at, true}, token)
	if failure != nil || verdict.Tag() != types.Verdict_Accepted {
		t.Fatalf("not accepted: %v %v", verdict, failure)
	}
	return verdict.Accepted()
}

func expectRejected(t *testing.T, reason types.Reason, at uint64, token string) {
	t.Helper()
	verdict, failure := Verify(fake{at, true}, token)
	if failure != nil || verdict.Tag() != types.Verdict_Rejected || verdict.Rejected().Reason != reason {
		t.Errorf("%q: not rejected with %d: %v %v", token, reason, verdict, failure)
	}
}

// signed returns a token with a valid signature over any payload.
func signed(json string) string {
	text := []byte(encode([]byte(json)))
	signature, _ := fake{now, true}.Sign("token", text)
	return "my_" + string(text) + "." + encode(signature)
}

func TestATokenHasTheDocumentedForm(t *testing.T) {
	created := create(t, request("ann", wit.Some(uint32(60))))
	expected := types.Created{
		Token:     signed(`{"a":"ann","t":1800000000,"d":60,"j":"` + id + `"}`),
		TokenId:   wit.Some(id),
		ExpiresAt: wit.Some(uint64(now + 60)),
	}
	if created != expected {
		t.Errorf("got %v, expected %v", created, expected)
	}
}

func TestACreatedTokenIsAcceptedUntilItExpires(t *testing.T) {
	actor := `"ann\" <ü🙂>`
	token := create(t, request(actor, wit.Some(uint32(60)))).Token
	acceptance := accepted(t, now+60, token)
	var read map[string]string
	if err := json.Unmarshal([]byte(acceptance.Actor), &read); err != nil || read["id"] != actor {
		t.Errorf("actor: %s", acceptance.Actor)
	}
	if acceptance.TokenId != wit.Some(id) || acceptance.IssuedAt != wit.Some(uint64(now)) ||
		acceptance.ExpiresAt != wit.Some(uint64(now+60)) {
		t.Errorf("got %v", acceptance)
	}
	expectRejected(t, types.Reason_Expired, now+61, token)

	endless := create(t, request("ann", wit.None[uint32]())).Token
	if accepted(t, 2*now, endless).ExpiresAt.IsSome() {
		t.Error("a token without lifetime expires")
	}
}

func TestRestrictionsReturnAsTheyWereRequested(t *testing.T) {
	full := types.Restrictions{
		All:      []string{"vi"},
		Database: []wit.Tuple2[string, []string]{{F0: "a", F1: []string{}}, {F0: "z", F1: []string{"vd", "es"}}},
		Resource: []wit.Tuple3[string, string, []string]{
			{F0: "z", F1: `t"2`, F2: []string{"vt"}},
			{F0: "z", F1: "t1", F2: []string{"vt", "ir"}},
		},
	}
	for _, restrictions := range []wit.Option[types.Restrictions]{
		wit.None[types.Restrictions](), wit.Some(types.Restrictions{}), wit.Some(full),
	} {
		request := request("ann", wit.None[uint32]())
		request.Restrictions = restrictions
		read := accepted(t, now, create(t, request).Token).Restrictions
		if !reflect.DeepEqual(read, restrictions) {
			t.Errorf("got %v, expected %v", read, restrictions)
		}
	}
}

func TestEveryOtherSpellingIsRejected(t *testing.T) {
	verdict, failure := Verify(fake{now, true}, "Another-token")
	if failure != nil || verdict.Tag() != types.Verdict_NotMine {
		t.Errorf("got %v %v", verdict, failure)
	}
	for _, token := range []string{
		"my_", "my_a.b", "my_YQ", "my_YR.YQ", "my_YQ==.YQ", "my_Y Q.YQ", "my_Y\nQ.YQ", "my_YQ.YQ.YQ",
		"my_Y/.Y+", "my_é.YQ",
	} {
		expectRejected(t, types.Reason_Malformed, now, token)
	}
	start, signature, _ := strings.Cut(create(t, request("ann", wit.None[uint32]())).Token, ".")
	for _, token := range []string{start + ".", "my_YQ." + signature, start + ".YQ"} {
		expectRejected(t, types.Reason_BadSignature, now, token)
	}
}

func TestASignedPayloadOfAnotherShapeIsMalformed(t *testing.T) {
	for _, payload := range []string{
		``,
		`[]`,
		`{"a":"ann","t":1800000000}`,
		`{"a":"ann","j":"x"}`,
		`{"a":7,"t":1800000000,"j":"x"}`,
		`{"a":"ann","t":1.5,"j":"x"}`,
		`{"a":"ann","t":1800000000,"d":null,"j":"x"}`,
		`{"a":"ann","t":1800000000,"_r":null,"j":"x"}`,
		`{"a":"ann","t":1800000000,"_r":[],"j":"x"}`,
		`{"a":"ann","t":1800000000,"_r":{"a":null},"j":"x"}`,
		`{"a":"ann","t":1800000000,"_r":{"x":[]},"j":"x"}`,
		`{"a":"ann","t":1800000000,"_r":{"d":["vi"]},"j":"x"}`,
		`{"a":"ann","t":1800000000,"j":"x","new":true}`,
		`{"a":"ann","t":1800000000,"d":4294967296,"j":"x"}`,
		`{"a":"ann","t":253402300800,"j":"x"}`,
		`{"a":"ann","t":253402300799,"d":1,"j":"x"}`,
		`{"a":"ann","t":1800000000,"_r":{"d":{"db":["vd"],"db":[]}},"j":"x"}`,
	} {
		expectRejected(t, types.Reason_Malformed, now, signed(payload))
	}
}

func TestAMissingKeyIsAFailureAndNoVerdict(t *testing.T) {
	host := fake{now, false}
	if _, err := Create(host, request("ann", wit.None[uint32]())); err == nil || err.Tag() != types.CreateError_Failed {
		t.Errorf("got %v", err)
	}
	if _, failure := Verify(host, "my_YQ.YQ"); failure == nil || failure.Tag() != types.Failure_Internal {
		t.Errorf("got %v", failure)
	}
}

func TestAnExpiryAfterTheYear9999IsDenied(t *testing.T) {
	_, err := Create(fake{lastSecond, true}, request("ann", wit.Some(uint32(1))))
	if err == nil || err.Tag() != types.CreateError_Denied {
		t.Errorf("got %v", err)
	}
}
