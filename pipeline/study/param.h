/* Parameters: a stage declares each of its keys once, in a table; parsing, defaults, ranges, help and
 * freshness follow from it. */
#ifndef SINEW_PARAM_H
#define SINEW_PARAM_H

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

#include <stddef.h>
#include <stdint.h>

/* kind -> C type at `offset` in the stage's parameter struct */
enum param_kind {
    PARAM_BOOL,   /* int */
    PARAM_INT,    /* int64_t */
    PARAM_REAL,   /* double */
    PARAM_BYTES,  /* int64_t; "2 GiB", "512 MB", "4096" */
    PARAM_TEXT,   /* const char * */
    PARAM_CHOICE, /* int, index into choices */
    PARAM_REALS,  /* struct real_list */
    PARAM_TEXTS   /* struct text_list */
};

struct real_list {
    int n;
    double *v;
};

struct param {
    const char *name;
    enum param_kind kind;
    size_t offset;
    const char *units;    /* NULL where there are none */
    const char *fallback; /* default as it would stand in YAML ("1e-5", "[0, 1e-8]"), parsed by the same code;
                           * NULL: false, 0, "", the first choice, an empty list */
    double min, max;      /* of numbers, bytes and list items, inclusive; both 0: any */
    const char *const *choices; /* NULL-terminated, for PARAM_CHOICE */
    const char *help;           /* one line, for --help and configs/reference.yaml */
};

/* What the YAML gives for a parameter: n scalars, one for all kinds but lists; is_list: they stand in one. */
struct param_given {
    int n, is_list;
    const char *const *values;
};

/* Local. Sets parameter p in `params` from what was given. Where a value does not fit, the reason is written
 * to problem (what was expected, what was found; size bytes) and -1 is returned; 0 on success. Texts are
 * copied to the arena. Errors that are not the user's (memory) set e and return -1 with problem empty. */
int param_set(const struct param *p, void *params, const struct param_given *given, struct arena *a,
              char *problem, int size, struct err *e);

/* Local. Sets all defaults of a table. Table ends with name NULL. Errors: BUG where a default does not parse.
 */
err_t param_defaults(const struct param *table, void *params, struct arena *a, struct err *e);

/* Local. Appends the value as YAML flow text ("bf16", "[0, 1e-08]") in canonical form: equal values, equal
 * text. */
err_t param_text(const struct param *p, const void *params, struct text *out, struct err *e);

/* Local. The C type's kind in words: "a number of at least 0", "one of bf16, f32". Into text, which is
 * returned. */
const char *param_expected(const struct param *p, char *text, int size);

/* Local. Appends s in double quotes for YAML; "${" is written "$${", so that reading it back gives s itself.
 */
err_t param_quote(struct text *out, const char *s, struct err *e);

/* Local. "2 GiB", "512 MB", "1.5e9" to bytes; -1 if it is none. */
int64_t bytes_parse(const char *text);

/* Local. Bytes as text that bytes_parse reads back exactly ("2 GiB", "100"). Into text, which is returned. */
const char *bytes_text(int64_t bytes, char *text, int size);

/* Local. A whole decimal integer (no leading zeros), a whole finite decimal number; nothing before or after.
 * 0, or -1. */
int int_parse(const char *text, int64_t *out);
int real_parse(const char *text, double *out);

/* Local. The shortest decimal text that reads back as x. Into text, which is returned. */
const char *real_text(double x, char *text, int size);

#endif
