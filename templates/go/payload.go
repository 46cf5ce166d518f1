package handler

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"maps"
	"math"
	"slices"

	types "my-handler/gen/keyward_handler_types"
	wit "my-handler/gen/wit/types"
)

// lastSecond is that of the year 9999, and of the contract.
const lastSecond = 253_402_300_799

// A payload is what a token says, as JSON: {"a":ACTOR,"t":ISSUED[,"d":LIFETIME][,"_r":RESTRICTIONS],"j":ID}.
type payload struct {
	// Actor is the id of the actor that the token speaks for.
	Actor string `json:"a"`
	// IssuedAt is in Unix seconds.
	IssuedAt uint64 `json:"t"`
	// Lifetime is in seconds; nil: never expires.
	Lifetime *uint32 `json:"d,omitzero"`
	// Restrictions nil leaves the actor its own rights; an empty allow-list, {}, allows nothing. That
	// is why the tag is not `omitempty`.
	Restrictions *allowList `json:"_r,omitzero"`
	// ID is a random name, for revocation and audit.
	ID string `json:"j"`
}

// expiresAt returns the last second in which the token is valid, or none if it never expires.
func (p payload) expiresAt() wit.Option[uint64] {
	if p.Lifetime == nil {
		return wit.None[uint64]()
	}
	return wit.Some(p.IssuedAt + uint64(*p.Lifetime))
}

// write returns the payload as compact JSON.
func (p payload) write() []byte {
	data, err := json.Marshal(p, json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	return data
}

// readPayload reads a payload. An unknown member could be a condition, so a payload with one is
// invalid.
func readPayload(data []byte) (payload, error) {
	read := payload{IssuedAt: math.MaxUint64}
	err := json.Unmarshal(data, &read, json.RejectUnknownMembers(true), json.WithUnmarshalers(noNull))
	end := read.IssuedAt
	if read.Lifetime != nil && end <= lastSecond {
		end += uint64(*read.Lifetime)
	}
	if err == nil && (read.Actor == "" || read.ID == "" || end > lastSecond) {
		err = errors.New("a member is missing or out of range")
	}
	return read, err
}

// noNull refuses null, which Go reads as an absent member: it must not mean "no restrictions".
var noNull = json.UnmarshalFromFunc(func(decoder *jsontext.Decoder, _ any) error {
	if decoder.PeekKind() == jsontext.KindNull {
		return errors.New("null")
	}
	return errors.ErrUnsupported // go on as usual
})

// An allowList is restrictions in Datasette's form, without empty members.
type allowList struct {
	All      []string                       `json:"a,omitempty"`
	Database map[string][]string            `json:"d,omitempty"`
	Resource map[string]map[string][]string `json:"r,omitempty"`
}

// newAllowList returns the allow-list of a request, or nil if there are no restrictions.
func newAllowList(option wit.Option[types.Restrictions]) *allowList {
	if option.IsNone() {
		return nil
	}
	restrictions := option.Some()
	list := allowList{restrictions.All, map[string][]string{}, map[string]map[string][]string{}}
	for _, item := range restrictions.Database {
		list.Database[item.F0] = item.F1
	}
	for _, item := range restrictions.Resource {
		if list.Resource[item.F0] == nil {
			list.Resource[item.F0] = map[string][]string{}
		}
		list.Resource[item.F0][item.F1] = item.F2
	}
	return &list
}

// restrictions returns the restrictions of a token, or none if it has no allow-list. Names are
// sorted: maps have no order, and neither have restrictions.
func (list *allowList) restrictions() wit.Option[types.Restrictions] {
	if list == nil {
		return wit.None[types.Restrictions]()
	}
	restrictions := types.Restrictions{All: list.All}
	for _, database := range sorted(list.Database) {
		item := wit.Tuple2[string, []string]{F0: database, F1: list.Database[database]}
		restrictions.Database = append(restrictions.Database, item)
	}
	for _, database := range sorted(list.Resource) {
		for _, resource := range sorted(list.Resource[database]) {
			item := wit.Tuple3[string, string, []string]{F0: database, F1: resource, F2: list.Resource[database][resource]}
			restrictions.Resource = append(restrictions.Resource, item)
		}
	}
	return wit.Some(restrictions)
}

// sorted returns the names in a map.
func sorted[T any](items map[string]T) []string {
	return slices.Sorted(maps.Keys(items))
}

// pointer returns a pointer to the value of an option, or nil.
func pointer[T any](option wit.Option[T]) *T {
	if option.IsNone() {
		return nil
	}
	return new(option.Some())
}
