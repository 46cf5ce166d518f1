// Tests of the handler without WebAssembly, with fakes behind its imports: `make test`.

#include "payload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW UINT64_C(1800000000)
#define ID "AAECAwQFBgcICQoLDA0ODw"

// --- The fakes: a fixed clock, the random bytes 0, 1, 2, …, and a key whose "signature" is the message
// backwards.

static uint64_t seconds;
static bool has_key;

void keyward_handler_clock_now(keyward_handler_clock_datetime_t *ret) { ret->seconds = seconds; }

void keyward_handler_random_bytes(uint32_t count, handler_list_u8_t *ret) {
  *ret = (handler_list_u8_t){malloc(count), count};
  for (uint32_t i = 0; i < count; i++)
    ret->ptr[i] = (uint8_t)i;
}

bool keyward_handler_keys_sign(handler_string_t *label, handler_list_u8_t *message, handler_list_u8_t *ret,
                               keyward_handler_keys_key_error_t *err) {
  *err = KEYWARD_HANDLER_KEYS_KEY_ERROR_NOT_GRANTED;
  *ret = (handler_list_u8_t){malloc(message->len), message->len};
  for (size_t i = 0; i < message->len; i++)
    ret->ptr[i] = message->ptr[message->len - 1 - i];
  return has_key && label->len == 5 && memcmp(label->ptr, "token", 5) == 0;
}

bool keyward_handler_keys_verify(handler_string_t *label, handler_list_u8_t *message, handler_list_u8_t *signature,
                                 bool *ret, keyward_handler_keys_key_error_t *err) {
  handler_list_u8_t expected;
  if (!keyward_handler_keys_sign(label, message, &expected, err))
    return false;
  handler_string_t text = {signature->ptr, signature->len};
  *ret = equal(text, (handler_string_t){expected.ptr, expected.len});
  return true;
}

void keyward_handler_log_write(keyward_handler_log_level_t level, handler_string_t *message) {
  fprintf(stderr, "%d: %.*s\n", level, (int)message->len, message->ptr);
}

// --- Helpers.

static keyward_handler_types_verdict_t verdict;
static keyward_handler_types_failure_t failure;
static keyward_handler_types_created_t created;
static keyward_handler_types_create_error_t create_error;

#define CHECK(condition) ((condition) ? (void)0 : fail(__LINE__, #condition))

static void fail(int line, const char *condition) {
  fprintf(stderr, "tests/handler_test.c:%d: failed: %s\n", line, condition);
  exit(1);
}

static bool is(handler_string_t text, const char *expected) {
  return equal(text, (handler_string_t){(uint8_t *)expected, strlen(expected)});
}

static bool create(const char *actor, uint32_t lifetime, const restrictions_t *restrictions) {
  keyward_handler_types_create_request_t request = {.actor_id = text_copy(actor),
                                                    .expires_after = {lifetime > 0, lifetime}};
  if (restrictions != NULL)
    request.restrictions = (keyward_handler_types_option_restrictions_t){true, *restrictions};
  return exports_keyward_handler_token_handler_create(&request, &created, &create_error);
}

static bool verify(handler_string_t token) {
  return exports_keyward_handler_token_handler_verify(&token, &verdict, &failure);
}

static bool accepts(handler_string_t token) {
  return verify(token) && verdict.tag == KEYWARD_HANDLER_TYPES_VERDICT_ACCEPTED;
}

static bool rejects(handler_string_t token, keyward_handler_types_reason_t reason) {
  return verify(token) && verdict.tag == KEYWARD_HANDLER_TYPES_VERDICT_REJECTED &&
         verdict.val.rejected.reason == reason;
}

// Returns a token with a valid signature over any payload.
static handler_string_t signed_token(const char *json) {
  buffer_t text = {0}, token = {0};
  handler_list_u8_t signature;
  keyward_handler_keys_key_error_t error;
  put_base64url(&text, (const uint8_t *)json, strlen(json));
  CHECK(keyward_handler_keys_sign(&TEXT("token"), &(handler_list_u8_t){text.ptr, text.len}, &signature, &error));
  put_text(&token, "my_");
  put(&token, text.ptr, text.len);
  put_text(&token, ".");
  put_base64url(&token, signature.ptr, signature.len);
  return text_of(token);
}

// --- The tests.

static void a_token_has_the_documented_form(void) {
  CHECK(create("ann", 60, NULL));
  handler_string_t expected = signed_token("{\"a\":\"ann\",\"t\":1800000000,\"d\":60,\"j\":\"" ID "\"}");
  CHECK(equal(created.token, expected));
  CHECK(created.token_id.is_some && is(created.token_id.val, ID));
  CHECK(created.expires_at.is_some && created.expires_at.val == NOW + 60);
}

static void a_created_token_is_accepted_until_it_expires(void) {
  CHECK(create("\"ann\\\" <ü🙂>\x01", 60, NULL));
  seconds = NOW + 60;
  CHECK(accepts(created.token));
  keyward_handler_types_acceptance_t *accepted = &verdict.val.accepted;
  CHECK(is(accepted->actor, "{\"id\":\"\\\"ann\\\\\\\" <ü🙂>\\u0001\"}"));
  CHECK(is(accepted->token_id.val, ID));
  CHECK(accepted->issued_at.val == NOW && accepted->expires_at.val == NOW + 60);
  seconds = NOW + 61;
  CHECK(rejects(created.token, KEYWARD_HANDLER_TYPES_REASON_EXPIRED));

  CHECK(create("ann", 0, NULL) && !created.expires_at.is_some);
  seconds = 2 * NOW;
  CHECK(accepts(created.token) && !verdict.val.accepted.expires_at.is_some);
}

static void restrictions_return_as_they_were_requested(void) {
  CHECK(create("ann", 0, NULL) && accepts(created.token));
  CHECK(!verdict.val.accepted.restrictions.is_some);

  restrictions_t empty = {0};
  CHECK(create("ann", 0, &empty) && accepts(created.token));
  restrictions_t *read = &verdict.val.accepted.restrictions.val;
  CHECK(verdict.val.accepted.restrictions.is_some);
  CHECK(read->all.len == 0 && read->database.len == 0 && read->resource.len == 0);

  handler_string_t vi = TEXT("vi"), vd_es[] = {TEXT("vd"), TEXT("es")};
  handler_tuple2_string_list_string_t databases[] = {{TEXT("z"), {vd_es, 2}}, {TEXT("a"), {NULL, 0}}};
  handler_tuple3_string_string_list_string_t resources[] = {
      {TEXT("z"), TEXT("t\"2"), {&vi, 1}}, {TEXT("a"), TEXT("t"), {&vi, 1}}, {TEXT("z"), TEXT("t1"), {vd_es, 2}}};
  restrictions_t full = {{&vi, 1}, {databases, 2}, {resources, 3}};
  CHECK(create("ann", 0, &full) && accepts(created.token));
  handler_string_t expected = signed_token(
      "{\"a\":\"ann\",\"t\":1800000000,\"_r\":{\"a\":[\"vi\"],\"d\":{\"z\":[\"vd\",\"es\"],\"a\":[]},"
      "\"r\":{\"z\":{\"t\\\"2\":[\"vi\"],\"t1\":[\"vd\",\"es\"]},\"a\":{\"t\":[\"vi\"]}}},\"j\":\"" ID "\"}");
  CHECK(equal(created.token, expected));
  CHECK(read->all.len == 1 && is(read->all.ptr[0], "vi"));
  CHECK(read->database.len == 2 && is(read->database.ptr[0].f0, "z") && is(read->database.ptr[0].f1.ptr[1], "es"));
  CHECK(is(read->database.ptr[1].f0, "a") && read->database.ptr[1].f1.len == 0);
  CHECK(read->resource.len == 3 && is(read->resource.ptr[1].f0, "z") && is(read->resource.ptr[1].f1, "t1"));
  CHECK(is(read->resource.ptr[0].f1, "t\"2") && is(read->resource.ptr[2].f0, "a"));
}

static void every_other_spelling_is_rejected(void) {
  CHECK(verify(TEXT("Another-token")) && verdict.tag == KEYWARD_HANDLER_TYPES_VERDICT_NOT_MINE);
  const char *malformed[] = {"my_",         "my_a.b",       "my_YQ",     "my_YR.YQ",   "my_YQ==.YQ",
                             "my_Y Q.YQ", "my_YQ.YQ.YQ", "my_Y/.Y+", "my_é.YQ"};
  for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
    CHECK(rejects(text_copy(malformed[i]), KEYWARD_HANDLER_TYPES_REASON_MALFORMED));

  CHECK(create("ann", 0, NULL));
  handler_string_t token = created.token;
  uint8_t *dot = memchr(token.ptr, '.', token.len);
  handler_string_t unsigned_token = {token.ptr, dot + 1 - token.ptr};
  CHECK(rejects(unsigned_token, KEYWARD_HANDLER_TYPES_REASON_BAD_SIGNATURE));
  CHECK(rejects(TEXT("my_YQ.YQ"), KEYWARD_HANDLER_TYPES_REASON_BAD_SIGNATURE));
}

static void a_signed_payload_of_another_shape_is_malformed(void) {
  const char *payloads[] = {
      "",
      "[]",
      "{\"a\":\"ann\",\"t\":1800000000}",
      "{\"a\":7,\"t\":1800000000,\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":1.5,\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":01,\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":99999999999999999999,\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":1800000000,\"d\":null,\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":1800000000,\"_r\":null,\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":1800000000,\"_r\":[],\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":1800000000,\"_r\":{\"x\":[]},\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":1800000000,\"_r\":{\"d\":[\"vi\"]},\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":1800000000,\"j\":\"x\",\"new\":true}",
      "{\"a\":\"ann\",\"t\":1800000000,\"d\":4294967296,\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":253402300800,\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":253402300799,\"d\":1,\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":1800000000,\"_r\":{\"d\":{\"db\":[\"vd\"],\"db\":[]}},\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":1800000000,\"_r\":{\"r\":{\"db\":{\"t\":[\"vt\"],\"t\":[]}}},\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":1800000000,\"_r\":{\"r\":{\"db\":{\"t\":[\"vt\"]},\"db\":{\"u\":[]}}},\"j\":\"x\"}",
      "{\"a\":\"\\ud800\",\"t\":1800000000,\"j\":\"x\"}",
      "{\"a\":\"ann",
      "{\"a\":\"ann\\",
      "{\"a\":\"\\u00",
      "{\"a\":\"\xff\",\"t\":1800000000,\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":1800000000,\"j\":\"\xc3\"}",
      "{\"a\":\"ann\",\"t\":1800000000,\"_r\":{\"a\":[\"\xc0\xaf\"]},\"j\":\"x\"}",
      "{\"a\":\"ann\",\"t\":1800000000,\"_r\":{\"d\":{\"\xed\xa0\x80\":[]}},\"j\":\"x\"}",
      "{\"a\":\"\xf4\x90\x80\x80\",\"t\":1800000000,\"j\":\"x\"}",
  };
  for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++)
    CHECK(rejects(signed_token(payloads[i]), KEYWARD_HANDLER_TYPES_REASON_MALFORMED));
  CHECK(accepts(signed_token("{\"a\":\"\\u0041\\/\\u00fc\\ud83d\\ude42\\n\",\"t\":1800000000,\"j\":\"x\"}")));
  CHECK(is(verdict.val.accepted.actor, "{\"id\":\"A/ü🙂\\u000a\"}"));
}

static void a_missing_key_is_a_failure_and_no_verdict(void) {
  has_key = false;
  CHECK(!create("ann", 0, NULL) && create_error.tag == KEYWARD_HANDLER_TYPES_CREATE_ERROR_FAILED);
  CHECK(!verify(TEXT("my_YQ.YQ")) && failure.tag == KEYWARD_HANDLER_TYPES_FAILURE_INTERNAL);
}

static void an_expiry_after_the_year_9999_is_denied(void) {
  seconds = LAST_SECOND;
  CHECK(!create("ann", 1, NULL) && create_error.tag == KEYWARD_HANDLER_TYPES_CREATE_ERROR_DENIED);
}

int main(void) {
  void (*tests[])(void) = {
      a_token_has_the_documented_form,
      a_created_token_is_accepted_until_it_expires,
      restrictions_return_as_they_were_requested,
      every_other_spelling_is_rejected,
      a_signed_payload_of_another_shape_is_malformed,
      a_missing_key_is_a_failure_and_no_verdict,
      an_expiry_after_the_year_9999_is_denied,
  };
  for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
    seconds = NOW;
    has_key = true;
    tests[i]();
  }
  printf("%zu tests passed\n", sizeof tests / sizeof *tests);
}
