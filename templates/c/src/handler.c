// Signed tokens: my_PAYLOAD.SIGNATURE, both parts in base64url.
//
// The payload is a small JSON object: see payload.h. The signature is that of its base64url text, so
// a token has exactly one spelling.
//
// The functions of gen/handler.h with a result return true for success and false for an error, and
// fill the last or the last but one argument.

#include "payload.h"

#include <string.h>

typedef keyward_handler_types_verdict_t verdict_t;
typedef keyward_handler_types_failure_t failure_t;
typedef keyward_handler_types_create_error_t create_error_t;

// The beginning of every token. The operator lists it in `prefixes`.
#define PREFIX "my_"

// The label of the key. The operator binds it to a key ring, and this handler never sees the key.
#define KEY "token"

// Describes a missing key to the operator. It says nothing about the token: no verdict.
static failure_t no_key(keyward_handler_keys_key_error_t error) {
  bool is_missing = error == KEYWARD_HANDLER_KEYS_KEY_ERROR_NOT_GRANTED;
  const char *text = is_missing ? "the key `" KEY "`: not granted" : "the key `" KEY "`: not permitted now";
  return (failure_t){KEYWARD_HANDLER_TYPES_FAILURE_INTERNAL, {.internal = text_copy(text)}};
}

// Makes a verdict with a sentence for the caller.
static bool reject(verdict_t *verdict, keyward_handler_types_reason_t reason, const char *message) {
  verdict->tag = KEYWARD_HANDLER_TYPES_VERDICT_REJECTED;
  verdict->val.rejected = (keyward_handler_types_rejection_t){reason, text_copy(message)};
  return true;
}

static bool reject_malformed(verdict_t *verdict) {
  return reject(verdict, KEYWARD_HANDLER_TYPES_REASON_MALFORMED, "Invalid token: wrong format");
}

static uint64_t now(void) {
  keyward_handler_clock_datetime_t time;
  keyward_handler_clock_now(&time);
  return time.seconds;
}

// Creates a token.
bool exports_keyward_handler_token_handler_create(keyward_handler_types_create_request_t *request,
                                                  keyward_handler_types_created_t *created, create_error_t *error) {
  payload_t payload = {request->actor_id, now(), request->expires_after, request->restrictions, {0}};
  // The contract has no later time. These tokens carry everything else: refuse here what yours
  // cannot, instead of dropping it.
  if (payload.lifetime.is_some && expiry(&payload).val > LAST_SECOND) {
    error->tag = KEYWARD_HANDLER_TYPES_CREATE_ERROR_DENIED;
    error->val.denied.denial = KEYWARD_HANDLER_TYPES_DENIAL_INVALID_REQUEST;
    error->val.denied.message = text_copy("the token would expire after the year 9999");
    return false;
  }

  handler_list_u8_t random;
  keyward_handler_random_bytes(16, &random);
  buffer_t id = {0}, json = {0}, token = {0};
  put_base64url(&id, random.ptr, random.len);
  payload.id = text_of(id);
  put_payload(&json, &payload);
  put_text(&token, PREFIX);
  put_base64url(&token, json.ptr, json.len);

  handler_list_u8_t message = {token.ptr + strlen(PREFIX), token.len - strlen(PREFIX)}, signature;
  keyward_handler_keys_key_error_t key_error;
  if (!keyward_handler_keys_sign(&TEXT(KEY), &message, &signature, &key_error)) {
    error->tag = KEYWARD_HANDLER_TYPES_CREATE_ERROR_FAILED;
    error->val.failed = no_key(key_error);
    return false;
  }
  put_text(&token, ".");
  put_base64url(&token, signature.ptr, signature.len);

  *created = (keyward_handler_types_created_t){text_of(token), {true, payload.id}, expiry(&payload)};
  return true;
}

// Verifies a token. An invalid token is a verdict, not an error.
bool exports_keyward_handler_token_handler_verify(handler_string_t *token, verdict_t *verdict, failure_t *failure) {
  if (token->len < strlen(PREFIX) || memcmp(token->ptr, PREFIX, strlen(PREFIX)) != 0) {
    verdict->tag = KEYWARD_HANDLER_TYPES_VERDICT_NOT_MINE;
    return true;
  }
  uint8_t *start = token->ptr + strlen(PREFIX), *end = token->ptr + token->len;
  uint8_t *dot = memchr(start, '.', end - start);
  if (dot == NULL)
    return reject_malformed(verdict);
  handler_string_t text = {start, dot - start}, signature_text = {dot + 1, end - dot - 1};
  buffer_t json = {0}, signature_bytes = {0};
  if (!decode_base64url(text, &json) || !decode_base64url(signature_text, &signature_bytes))
    return reject_malformed(verdict);

  // Nothing is read from a payload that this handler did not sign.
  handler_list_u8_t message = {text.ptr, text.len}, signature = {signature_bytes.ptr, signature_bytes.len};
  keyward_handler_keys_key_error_t key_error;
  bool is_signed;
  if (!keyward_handler_keys_verify(&TEXT(KEY), &message, &signature, &is_signed, &key_error)) {
    *failure = no_key(key_error);
    return false;
  }
  if (!is_signed)
    return reject(verdict, KEYWARD_HANDLER_TYPES_REASON_BAD_SIGNATURE, "Invalid token signature");

  payload_t payload;
  if (!read_payload(text_of(json), &payload))
    return reject_malformed(verdict);
  handler_option_u64_t expires_at = expiry(&payload);
  if (expires_at.is_some && now() > expires_at.val)
    return reject(verdict, KEYWARD_HANDLER_TYPES_REASON_EXPIRED, "Token has expired");

  buffer_t actor = {0};
  put_text(&actor, "{\"id\":");
  put_json_string(&actor, payload.actor_id);
  put_text(&actor, "}");
  verdict->tag = KEYWARD_HANDLER_TYPES_VERDICT_ACCEPTED;
  verdict->val.accepted = (keyward_handler_types_acceptance_t){
      .actor = text_of(actor),
      .restrictions = payload.restrictions,
      .token_id = {true, payload.id},
      .issued_at = {true, payload.issued_at},
      .expires_at = expires_at,
  };
  return true;
}
