/* Runs a fuzz target over the files of the folders given, once each, where there is no libFuzzer. Each input
 * stands in a buffer of its own size, so that the address sanitizer sees a read behind it. Exit status: 0 all
 * done; 1 a folder without files, or one that cannot be read. */
#include "fuzzlib.h"

#include <dirent.h>
#include <sys/stat.h>

static void run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    FUZZ_CHECK(f && fstat(fileno(f), &st) == 0);
    size_t n = (size_t)st.st_size;
    uint8_t *bytes = malloc(n ? n : 1);
    FUZZ_CHECK(bytes && fread(bytes, 1, n, f) == n);
    fclose(f);
    LLVMFuzzerTestOneInput(bytes, n);
    free(bytes);
}

/* How many files it ran; -1 where the folder cannot be read. */
static int run_folder(const char *dir)
{
    DIR *d = opendir(dir);
    int done = 0;
    if (!d)
        return -1;
    for (struct dirent *entry = readdir(d); entry; entry = readdir(d)) {
        char path[4096];
        struct stat st;
        int n = snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (n < 0 || n >= (int)sizeof path || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
            continue;
        /* the last line tells which input it was, should the program end here */
        printf("%s\n", entry->d_name);
        fflush(stdout);
        run_file(path);
        done++;
    }
    closedir(d);
    return done;
}

int main(int argc, char **argv)
{
    int bad = argc < 2;
    for (int i = 1; i < argc; i++) {
        int n = run_folder(argv[i]);
        printf("%s: %d inputs\n", argv[i], n);
        bad |= n <= 0;
    }
    if (bad)
        fprintf(stderr, "expected folders with inputs\n");
    return bad;
}
