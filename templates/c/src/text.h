// Text that grows, and base64url.
//
// Nothing is freed: each call gets a fresh instance, whose memory disappears with it.

#ifndef TEXT_H
#define TEXT_H

#include "handler.h"

// A text that grows. Starts as `{0}`.
typedef struct {
  uint8_t *ptr;
  size_t len, capacity;
} buffer_t;

// A text that is not copied: for arguments of imports.
#define TEXT(literal) ((handler_string_t){(uint8_t *)(literal), sizeof(literal) - 1})

// Appends bytes.
void put(buffer_t *to, const void *bytes, size_t len);

// Appends a C string.
void put_text(buffer_t *to, const char *text);

// Appends bytes in base64url without padding.
void put_base64url(buffer_t *to, const uint8_t *bytes, size_t len);

// Decodes base64url. Returns false unless the text is the only spelling of its bytes.
bool decode_base64url(handler_string_t text, buffer_t *bytes);

// Returns whether two texts are equal.
bool equal(handler_string_t a, handler_string_t b);

// Returns whether a text is UTF-8. The host traps if a result of the handler is not.
bool is_utf8(handler_string_t text);

// Returns a buffer's text.
handler_string_t text_of(buffer_t buffer);

// Returns a copy of a C string. Results of the handler are copies, because the host may free them.
handler_string_t text_copy(const char *text);

// Writes a message to the operator's log, and aborts the call. Use it where the handler itself is at
// fault. The message must not contain a token.
_Noreturn void die(const char *message);

// Returns an array with room for one more item than `len`.
void *grow(void *items, size_t len, size_t item_size);

#endif
