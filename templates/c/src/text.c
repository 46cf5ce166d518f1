#include "text.h"

#include <stdlib.h>
#include <string.h>

void put(buffer_t *to, const void *bytes, size_t len) {
  if (len == 0)
    return;
  if (to->capacity - to->len < len) {
    to->capacity = 2 * to->capacity + len;
    to->ptr = realloc(to->ptr, to->capacity);
    if (to->ptr == NULL)
      die("out of memory");
  }
  memcpy(to->ptr + to->len, bytes, len);
  to->len += len;
}

void put_text(buffer_t *to, const char *text) { put(to, text, strlen(text)); }

bool equal(handler_string_t a, handler_string_t b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool is_utf8(handler_string_t text) {
  static const uint32_t least[] = {0, 0x80, 0x800, 0x10000}; // code points by bytes after the first
  for (size_t i = 0; i < text.len;) {
    uint8_t first = text.ptr[i++];
    int more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    if ((first >= 0x80 && first < 0xc0) || first >= 0xf8)
      return false;
    uint32_t code = more == 0 ? first : first & (0x3f >> more);
    for (int left = more; left > 0; left--, i++) {
      if (i == text.len || (text.ptr[i] & 0xc0) != 0x80)
        return false;
      code = code << 6 | (text.ptr[i] & 0x3f);
    }
    if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
      return false;
  }
  return true;
}

handler_string_t text_of(buffer_t buffer) { return (handler_string_t){buffer.ptr, buffer.len}; }

handler_string_t text_copy(const char *text) {
  buffer_t copy = {0};
  put_text(&copy, text);
  return text_of(copy);
}

void die(const char *message) {
  handler_string_t line = {(uint8_t *)message, strlen(message)};
  keyward_handler_log_write(KEYWARD_HANDLER_LOG_LEVEL_ERROR, &line);
  __builtin_trap();
}

void *grow(void *items, size_t len, size_t item_size) {
  // The capacity is the next power of two.
  if ((len & (len - 1)) != 0)
    return items;
  items = realloc(items, (len == 0 ? 1 : 2 * len) * item_size);
  if (items == NULL)
    die("out of memory");
  return items;
}

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void put_base64url(buffer_t *to, const uint8_t *bytes, size_t len) {
  uint32_t bits = 0;
  int count = 0; // of the bits that are not written yet
  for (size_t i = 0; i < len; i++) {
    bits = bits << 8 | bytes[i];
    for (count += 8; count >= 6; count -= 6)
      put(to, &ALPHABET[bits >> (count - 6) & 63], 1);
  }
  if (count > 0)
    put(to, &ALPHABET[bits << (6 - count) & 63], 1);
}

bool decode_base64url(handler_string_t text, buffer_t *bytes) {
  uint32_t bits = 0;
  int count = 0;
  for (size_t i = 0; i < text.len; i++) {
    const char *digit = memchr(ALPHABET, text.ptr[i], 64);
    if (digit == NULL)
      return false;
    bits = bits << 6 | (uint32_t)(digit - ALPHABET);
    count += 6;
    if (count >= 8) {
      count -= 8;
      uint8_t byte = (uint8_t)(bits >> count);
      put(bytes, &byte, 1);
    }
  }
  // Six bits are left if there is one digit too many. Other unused bits must be zero: otherwise the
  // text would be another spelling of the same bytes.
  return count < 6 && (bits & ((1u << count) - 1)) == 0;
}
