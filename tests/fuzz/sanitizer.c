/* What the address sanitizer does where ASAN_OPTIONS does not say otherwise: of what was freed it keeps that
 * of the last inputs alone, for more would be in no cache; of a buffer it does not keep where it was made. A
 * finding is run again with ASAN_OPTIONS=malloc_context_size=30. */

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=1:thread_local_quarantine_size_kb=128:malloc_context_size=0:max_malloc_fill_size=256";
}
