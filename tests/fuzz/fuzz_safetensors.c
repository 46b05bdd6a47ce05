/* A .safetensors file (safetensors.h). What is taken is written again, and must say the same. */
#include "fuzzlib.h"
#include "mutate.h"

#include "formats/safetensors/safetensors.h"
#include "formats/safetensors/safetensors_writer.h"

static void check_places(const struct safetensors *s, int64_t size)
{
    int64_t at = s->data_start;
    for (int64_t i = 0; i < s->ntensors; i++) {
        const struct stored_tensor *t = &s->tensors[i];
        FUZZ_CHECK(t->offset_bytes == at && t->size_bytes >= 0 && t->size_bytes <= size - at);
        FUZZ_CHECK(t->ndim >= 0 && t->ndim <= TENSOR_MAX_NDIM && t->elements >= 0);
        at += t->size_bytes;
    }
    FUZZ_CHECK(at == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char path[] = DISK "/a.safetensors";
    static int file;
    struct fuzz f;
    struct safetensors s, again;
    file = file ? file : disk_file(path);
    disk_write(file, data, size);
    fuzz_begin(&f);
    err_t code = safetensors_open(&s, path, &f.arena, &f.err);
    if (code == ERR_OK) {
        check_places(&s, (int64_t)size);
        char *header;
        int64_t n;
        FUZZ_CHECK(safetensors_header(s.tensors, s.ntensors, NULL, 0, &f.arena, &header, &n, &f.err) ==
                   ERR_OK);
        int64_t bytes = n + (int64_t)size - s.data_start;
        char *whole;
        FUZZ_CHECK(arena_array(&f.arena, "whole", bytes, &whole, &f.err) == ERR_OK);
        memcpy(whole, header, (size_t)n);
        disk_write(file, whole, (size_t)bytes);
        FUZZ_CHECK(safetensors_open(&again, path, &f.arena, &f.err) == ERR_OK);
        check_places(&again, bytes);
        FUZZ_CHECK(again.ntensors == s.ntensors);
    }
    fuzz_end(&f, code);
    return 0;
}

#ifdef SINEW_FUZZ
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    uint32_t dice = seed | 1;
    return mutate_safetensors(data, size, max, &dice);
}
#endif
