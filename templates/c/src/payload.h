// The payload of a token: {"a":ACTOR,"t":ISSUED[,"d":LIFETIME][,"_r":RESTRICTIONS],"j":ID}

#ifndef PAYLOAD_H
#define PAYLOAD_H

#include "text.h"

// The last second of the year 9999, and of the contract.
#define LAST_SECOND UINT64_C(253402300799)

typedef keyward_handler_types_restrictions_t restrictions_t;

// What a token says.
typedef struct {
  handler_string_t actor_id;
  uint64_t issued_at;            // in Unix seconds
  handler_option_u32_t lifetime; // in seconds; none: never expires
  // None leaves the actor its own rights; empty lists allow nothing.
  keyward_handler_types_option_restrictions_t restrictions;
  handler_string_t id; // a random name, for revocation and audit
} payload_t;

// Appends a payload as compact JSON.
void put_payload(buffer_t *to, const payload_t *payload);

// Reads a payload. Returns false unless it has exactly the members above in this order, without
// spaces, in UTF-8. Its restrictions may have any names.
bool read_payload(handler_string_t json, payload_t *payload);

// Appends a JSON string, with quotes.
void put_json_string(buffer_t *to, handler_string_t text);

// Returns the last second in which a token is valid, or none if it never expires.
handler_option_u64_t expiry(const payload_t *payload);

#endif
