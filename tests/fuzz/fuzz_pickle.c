/* A pickle (pickle.h), with a few names that it may use. */
#include "fuzzlib.h"
#include "mutate.h"

#include "formats/torch/pickle.h"

static const struct pickle_name names[] = {{"collections", "OrderedDict", 0, 1},
                                           {"torch", "FloatStorage", 1, 0},
                                           {"torch._utils", "_rebuild_tensor_v2", 2, 0}};

/* Every value, and what it holds, can be reached and is one of the pickle's own; each cell belongs to one. */
static void walk(const struct pickle *p)
{
    int64_t cells = 0;
    for (int64_t i = 0; i < p->nvalues; i++) {
        const struct pickle_value *v = &p->values[i], *key, *value;
        const struct pickle_value *state = pickle_state(p, v);
        char shown[32], told[PICKLE_TOLD];
        FUZZ_CHECK(pickle_kind_text(v) != NULL && pickle_told(p, v, told)[0]);
        FUZZ_CHECK(pickle_id(p, v) < p->nnames);
        FUZZ_CHECK(!state || (state >= p->values && state < p->values + p->nvalues));
        pickle_attribute(p, v, "a");
        if (v->kind == PICKLE_TEXT)
            pickle_shown(v->text, v->n, shown, sizeof shown);
        for (int64_t k = 0; (value = pickle_item(p, v, k)); k++)
            FUZZ_CHECK(value >= p->values && value < p->values + p->nvalues);
        for (const struct pickle_cell *at = pickle_next(p, v, NULL, &key, &value); at;
             at = pickle_next(p, v, at, &key, &value)) {
            FUZZ_CHECK(value >= p->values && value < p->values + p->nvalues);
            FUZZ_CHECK(v->kind == PICKLE_CALL || v->kind == PICKLE_OBJECT ||
                       (key != NULL) == (v->kind == PICKLE_DICT));
            FUZZ_CHECK(++cells <= p->ncells);
        }
    }
    FUZZ_CHECK(cells == p->ncells);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f;
    struct pickle p;
    fuzz_begin(&f);
    err_t code = pickle_read(&p, "data.pkl", (const char *)data, (int64_t)size, names,
                             (int)(sizeof names / sizeof *names), &f.arena, &f.err);
    if (code == ERR_OK)
        walk(&p);
    fuzz_end(&f, code);
    return 0;
}

#ifdef SINEW_FUZZ
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    uint32_t dice = seed | 1;
    return mutate_pickle(data, size, max, &dice);
}
#endif
