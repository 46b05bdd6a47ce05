/* Shards: where lists of tensors are cut into files, against published cuts and by what must hold of any. */
#include "unitlib.h"

#include "kernels/simulate/families.h"
#include "kernels/simulate/shards.h"

enum { MOST = 100000 };

static int64_t sizes[MOST], ends[MOST];
static int64_t nsizes;
static int width;

static int add_size(void *arg, const struct family_tensor *t)
{
    (void)arg;
    sizes[nsizes++] = t->dims[0] * (t->ndim == 2 ? t->dims[1] : 1) * width;
    return 0;
}

static int64_t cut_family(const char *name, int bytes, int64_t files)
{
    nsizes = 0;
    width = bytes;
    family_tensors(family_find(name), add_size, NULL);
    return shards_cut(sizes, nsizes, files, ends);
}

static int64_t size_of(int64_t k)
{
    int64_t sum = 0;
    for (int64_t i = k ? ends[k - 1] : 0; i < ends[k]; i++)
        sum += sizes[i];
    return sum;
}

/* Published file sizes, in units of 10 MB: the safetensors of the repositories' file lists. */
static void as_transformers_cuts(void **state)
{
    (void)state;
    static const struct {
        const char *family;
        int width;
        int64_t files, of[7];
    } published[] = {{"llama-3-8b", 2, 4, {498, 500, 492, 117}},
                     {"mistral-7b", 2, 3, {494, 500, 454}},
                     {"eurus-2-7b", 4, 7, {498, 478, 493, 493, 500, 366, 218}}};
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        assert_int_equal(cut_family(published[i].family, published[i].width, 0), published[i].files);
        for (int64_t k = 0; k < published[i].files; k++)
            assert_int_equal((size_of(k) + 5000000) / 10000000, published[i].of[k]);
    }
    assert_int_equal(cut_family("tulu-3-70b", 2, 0), 30);
    assert_int_equal(cut_family("eurus-2-7b", 2, 0), 4);
}

static void into_equal_parts(void **state)
{
    (void)state;
    for (int64_t parts = 1; parts < 400; parts += 9) {
        int64_t last = 0;
        assert_int_equal(cut_family("tulu-3-70b", 2, parts), parts);
        for (int64_t k = 0; k < parts; k++) {
            assert_true(ends[k] > last);
            last = ends[k];
        }
        assert_int_equal(last, nsizes);
    }
    int64_t files = cut_family("llama-3.2-1b", 2, 1000); /* a tensor to each, no more */
    assert_int_equal(files, nsizes);
    for (int64_t k = 0; k < nsizes; k++)
        assert_int_equal(ends[k], k + 1);
    assert_int_equal(shards_cut(sizes, 0, 3, ends), 0);
    assert_int_equal(shards_cut(sizes, 0, 0, ends), 0);
    const int64_t large[] = {SHARDS_FILE_BYTES + 1, 1, SHARDS_FILE_BYTES};
    assert_int_equal(shards_cut(large, 3, 0, ends), 3); /* what alone is too large has a file of its own */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_transformers_cuts),
                                       cmocka_unit_test(into_equal_parts)};
    return cmocka_run_group_tests_name("shards", tests, NULL, NULL);
}
