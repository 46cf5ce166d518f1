#include "payload.h"

#include <string.h>

handler_option_u64_t expiry(const payload_t *payload) {
  if (!payload->lifetime.is_some)
    return (handler_option_u64_t){0};
  return (handler_option_u64_t){true, payload->issued_at + payload->lifetime.val};
}

// --- Writing ---------------------------------------------------------------------------------------

void put_json_string(buffer_t *to, handler_string_t text) {
  put_text(to, "\"");
  for (size_t i = 0; i < text.len; i++) {
    uint8_t byte = text.ptr[i];
    if (byte < 0x20) {
      const char digits[] = "0123456789abcdef";
      put_text(to, "\\u00");
      put(to, &digits[byte >> 4], 1);
      put(to, &digits[byte & 15], 1);
    } else {
      if (byte == '"' || byte == '\\')
        put_text(to, "\\");
      put(to, &byte, 1);
    }
  }
  put_text(to, "\"");
}

static void put_number(buffer_t *to, uint64_t number) {
  if (number > 9)
    put_number(to, number / 10);
  put(to, &"0123456789"[number % 10], 1);
}

static void put_actions(buffer_t *to, handler_string_t name, const handler_list_string_t *actions) {
  put_json_string(to, name);
  put_text(to, ":[");
  for (size_t i = 0; i < actions->len; i++) {
    put_text(to, i == 0 ? "" : ",");
    put_json_string(to, actions->ptr[i]);
  }
  put_text(to, "]");
}

// Appends the resources: one object per database, in the order in which the databases first occur.
static void put_resources(buffer_t *to, const restrictions_t *restrictions) {
  const handler_tuple3_string_string_list_string_t *items = restrictions->resource.ptr;
  for (size_t i = 0; i < restrictions->resource.len; i++) {
    size_t first = 0;
    while (!equal(items[first].f0, items[i].f0))
      first++;
    if (first < i)
      continue; // written with the first
    put_text(to, i == 0 ? "" : ",");
    put_json_string(to, items[i].f0);
    put_text(to, ":{");
    for (size_t j = i; j < restrictions->resource.len; j++) {
      if (equal(items[j].f0, items[i].f0)) {
        put_text(to, j == i ? "" : ",");
        put_actions(to, items[j].f1, &items[j].f2);
      }
    }
    put_text(to, "}");
  }
}

// Appends restrictions in Datasette's form, {"a":[…],"d":{db:[…]},"r":{db:{resource:[…]}}}, without
// empty members.
static void put_restrictions(buffer_t *to, const restrictions_t *restrictions) {
  const char *separator = "";
  put_text(to, "{");
  if (restrictions->all.len > 0) {
    put_actions(to, TEXT("a"), &restrictions->all);
    separator = ",";
  }
  if (restrictions->database.len > 0) {
    put_text(to, separator);
    put_text(to, "\"d\":{");
    for (size_t i = 0; i < restrictions->database.len; i++) {
      put_text(to, i == 0 ? "" : ",");
      put_actions(to, restrictions->database.ptr[i].f0, &restrictions->database.ptr[i].f1);
    }
    put_text(to, "}");
    separator = ",";
  }
  if (restrictions->resource.len > 0) {
    put_text(to, separator);
    put_text(to, "\"r\":{");
    put_resources(to, restrictions);
    put_text(to, "}");
  }
  put_text(to, "}");
}

void put_payload(buffer_t *to, const payload_t *payload) {
  put_text(to, "{\"a\":");
  put_json_string(to, payload->actor_id);
  put_text(to, ",\"t\":");
  put_number(to, payload->issued_at);
  if (payload->lifetime.is_some) {
    put_text(to, ",\"d\":");
    put_number(to, payload->lifetime.val);
  }
  if (payload->restrictions.is_some) {
    put_text(to, ",\"_r\":");
    put_restrictions(to, &payload->restrictions.val);
  }
  put_text(to, ",\"j\":");
  put_json_string(to, payload->id);
  put_text(to, "}");
}

// --- Reading ---------------------------------------------------------------------------------------

// The rest of a JSON text. Each function below reads something from its start, or returns false.
typedef handler_string_t rest_t;

static bool skip(rest_t *json, const char *text) {
  size_t len = strlen(text);
  if (json->len < len || memcmp(json->ptr, text, len) != 0)
    return false;
  *json = (rest_t){json->ptr + len, json->len - len};
  return true;
}

static bool read_byte(rest_t *json, uint8_t *byte) {
  if (json->len == 0)
    return false;
  *byte = *json->ptr++;
  json->len--;
  return true;
}

static bool read_number(rest_t *json, uint64_t max, uint64_t *number) {
  *number = 0;
  size_t digits = 0;
  for (; json->len > 0 && *json->ptr >= '0' && *json->ptr <= '9'; json->ptr++, json->len--, digits++) {
    *number = 10 * *number + (*json->ptr - '0');
    if (*number > max || (digits > 0 && *number < 10))
      return false; // too large, or a leading zero
  }
  return digits > 0;
}

// Reads the four digits of the escape \uXXXX.
static bool read_hex(rest_t *json, uint32_t *unit) {
  *unit = 0;
  for (int i = 0; i < 4; i++) {
    const char digits[] = "0123456789abcdefABCDEF";
    uint8_t byte;
    if (!read_byte(json, &byte))
      return false;
    const char *digit = memchr(digits, byte, sizeof digits - 1);
    if (digit == NULL)
      return false;
    size_t value = digit - digits;
    *unit = *unit << 4 | (uint32_t)(value < 16 ? value : value - 6);
  }
  return true;
}

// Reads the rest of the escape \u, with the second half of a surrogate pair, and appends the
// character in UTF-8.
static bool read_unicode(rest_t *json, buffer_t *text) {
  uint32_t code, low;
  if (!read_hex(json, &code))
    return false;
  if (code >= 0xd800 && code <= 0xdfff) {
    if (code > 0xdbff || !skip(json, "\\u") || !read_hex(json, &low) || low < 0xdc00 || low > 0xdfff)
      return false;
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3; // bytes after the first
  static const uint8_t first[] = {0, 0xc0, 0xe0, 0xf0};
  uint8_t byte = (uint8_t)(first[more] | code >> (6 * more));
  put(text, &byte, 1);
  while (more-- > 0) {
    byte = (uint8_t)(0x80 | (code >> (6 * more) & 0x3f));
    put(text, &byte, 1);
  }
  return true;
}

// Reads a JSON string from text in UTF-8.
static bool read_string(rest_t *json, handler_string_t *string) {
  buffer_t text = {0};
  uint8_t byte;
  if (!skip(json, "\""))
    return false;
  while (read_byte(json, &byte) && byte >= 0x20) {
    if (byte == '"') {
      *string = text_of(text);
      return true;
    }
    if (byte == '\\') {
      if (!read_byte(json, &byte))
        return false;
      if (byte == 'u') {
        if (!read_unicode(json, &text))
          return false;
        continue;
      }
      static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
      const char *escape = memchr(escapes, byte, sizeof escapes - 1);
      if (escape == NULL)
        return false;
      byte = (uint8_t)meanings[escape - escapes];
    }
    put(&text, &byte, 1);
  }
  return false;
}

static bool read_actions(rest_t *json, handler_list_string_t *actions) {
  *actions = (handler_list_string_t){0};
  if (!skip(json, "["))
    return false;
  while (!skip(json, "]")) {
    if (actions->len > 0 && !skip(json, ","))
      return false;
    actions->ptr = grow(actions->ptr, actions->len, sizeof *actions->ptr);
    if (!read_string(json, &actions->ptr[actions->len++]))
      return false;
  }
  return true;
}

static bool read_databases(rest_t *json, restrictions_t *restrictions) {
  handler_list_tuple2_string_list_string_t *list = &restrictions->database;
  if (!skip(json, "{"))
    return false;
  while (!skip(json, "}")) {
    if (list->len > 0 && !skip(json, ","))
      return false;
    list->ptr = grow(list->ptr, list->len, sizeof *list->ptr);
    handler_tuple2_string_list_string_t *item = &list->ptr[list->len++];
    if (!read_string(json, &item->f0) || !skip(json, ":") || !read_actions(json, &item->f1))
      return false;
    for (size_t i = 0; i + 1 < list->len; i++)
      if (equal(list->ptr[i].f0, item->f0))
        return false; // which one counts is unclear
  }
  return true;
}

static bool read_resources(rest_t *json, restrictions_t *restrictions) {
  handler_list_tuple3_string_string_list_string_t *list = &restrictions->resource;
  if (!skip(json, "{"))
    return false;
  for (bool first = true; !skip(json, "}"); first = false) {
    handler_string_t database;
    if ((!first && !skip(json, ",")) || !read_string(json, &database) || !skip(json, ":{"))
      return false;
    for (size_t i = 0; i < list->len; i++)
      if (equal(list->ptr[i].f0, database))
        return false; // which one counts is unclear
    for (bool first_here = true; !skip(json, "}"); first_here = false) {
      list->ptr = grow(list->ptr, list->len, sizeof *list->ptr);
      handler_tuple3_string_string_list_string_t *item = &list->ptr[list->len++];
      buffer_t copy = {0};
      put(&copy, database.ptr, database.len);
      item->f0 = text_of(copy);
      if ((!first_here && !skip(json, ",")) || !read_string(json, &item->f1) || !skip(json, ":") ||
          !read_actions(json, &item->f2))
        return false;
      for (size_t i = 0; i + 1 < list->len; i++)
        if (equal(list->ptr[i].f0, item->f0) && equal(list->ptr[i].f1, item->f1))
          return false;
    }
  }
  return true;
}

// Skips the name of a member, with the brace or comma before it.
static bool skip_member(rest_t *json, bool *is_first, const char *name) {
  rest_t start = *json;
  if (skip(json, *is_first ? "{" : ",") && skip(json, name)) {
    *is_first = false;
    return true;
  }
  *json = start;
  return false;
}

static bool read_restrictions(rest_t *json, restrictions_t *restrictions) {
  *restrictions = (restrictions_t){0};
  bool is_first = true;
  if (skip_member(json, &is_first, "\"a\":") && !read_actions(json, &restrictions->all))
    return false;
  if (skip_member(json, &is_first, "\"d\":") && !read_databases(json, restrictions))
    return false;
  if (skip_member(json, &is_first, "\"r\":") && !read_resources(json, restrictions))
    return false;
  return skip(json, is_first ? "{}" : "}");
}

bool read_payload(handler_string_t json, payload_t *payload) {
  *payload = (payload_t){0};
  uint64_t lifetime = 0;
  if (!is_utf8(json))
    return false;
  if (!skip(&json, "{\"a\":") || !read_string(&json, &payload->actor_id))
    return false;
  if (!skip(&json, ",\"t\":") || !read_number(&json, LAST_SECOND, &payload->issued_at))
    return false;
  payload->lifetime.is_some = skip(&json, ",\"d\":");
  if (payload->lifetime.is_some && !read_number(&json, UINT32_MAX, &lifetime))
    return false;
  if (payload->issued_at + lifetime > LAST_SECOND)
    return false;
  payload->lifetime.val = (uint32_t)lifetime;
  payload->restrictions.is_some = skip(&json, ",\"_r\":");
  if (payload->restrictions.is_some && !read_restrictions(&json, &payload->restrictions.val))
    return false;
  return skip(&json, ",\"j\":") && read_string(&json, &payload->id) && skip(&json, "}") && json.len == 0;
}
