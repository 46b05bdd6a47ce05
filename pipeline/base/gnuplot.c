#include "base/gnuplot.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAID "gnuplot.log"

extern char **environ;

const char *gnuplot_find(struct arena *a, struct err *e)
{
    const char *path = getenv("PATH");
    for (const char *at = path ? path : ""; *at; at += *at == ':') {
        int n = (int)strcspn(at, ":");
        struct stat st;
        if (n > 0) { /* an empty piece is the current folder: programs are not taken from there */
            char *file = arena_printf(a, e, "%.*s/gnuplot", n, at);
            if (!file)
                return NULL;
            if (stat(file, &st) == 0 && S_ISREG(st.st_mode) && access(file, X_OK) == 0)
                return file;
        }
        at += n;
    }
    return NULL;
}

/* The environment of the child: ours, with numbers and letters that do not depend on the user's language, and
 * without what would change gnuplot's defaults. The list belongs to the caller, its texts do not. */
static char **child_environment(void)
{
    static char language[] = "LC_ALL=C.UTF-8";
    size_t n = 0, kept = 0;
    while (environ[n])
        n++;
    char **list = calloc(n + 2, sizeof *list);
    if (!list)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "LC_", 3) != 0 && strncmp(environ[i], "GNUPLOT", 7) != 0 &&
            strncmp(environ[i], "GNUTERM", 7) != 0)
            list[kept++] = environ[i];
    list[kept] = language;
    return list;
}

static int start(const char *program, const char *dir, const char *script, pid_t *child)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    char name[] = "gnuplot", plain[] = "-d"; /* -d: no start-up files */
    char *words[] = {name, plain, (char *)(uintptr_t)script, NULL};
    char **variables = child_environment();
    if (!variables)
        return ENOMEM;
    int code = posix_spawn_file_actions_init(&files);
    if (code != 0) {
        free(variables);
        return code;
    }
    code = posix_spawnattr_init(&attributes);
    if (code != 0) {
        posix_spawn_file_actions_destroy(&files);
        free(variables);
        return code;
    }
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    sigaddset(&usual, SIGTERM);
    sigaddset(&usual, SIGINT);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if ((code = posix_spawn_file_actions_addchdir_np(&files, dir)) == 0 &&
        (code = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0)) == 0 &&
        (code = posix_spawn_file_actions_addopen(&files, 1, SAID, O_WRONLY | O_CREAT | O_TRUNC, 0666)) == 0 &&
        (code = posix_spawn_file_actions_adddup2(&files, 1, 2)) == 0)
        code = posix_spawn(child, program, &files, &attributes, words, variables);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    free(variables);
    return code;
}

/* The last lines the child has written, on one line. */
static void last_words(const char *dir, char *words, size_t size)
{
    char path[4096], text[512];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/" SAID, dir);
    FILE *f = fopen(path, "rb");
    if (f) {
        if (fseek(f, -400, SEEK_END) != 0)
            rewind(f);
        n = fread(text, 1, sizeof text - 1, f);
        fclose(f);
    }
    while (n > 0 && (unsigned char)text[n - 1] <= ' ')
        n--;
    text[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < ' ')
            text[i] = ' ';
    snprintf(words, size, "%s", text);
}

int gnuplot_run(const char *program, const char *dir, const char *script, double limit_sec, char *problem,
                int size)
{
    pid_t child = -1, ended = 0;
    int status = 0, killed = 0, code = start(program, dir, script, &child);
    char words[512];
    if (code != 0) {
        snprintf(problem, (size_t)size, "%s cannot be started: %s", program, strerror(code));
        return -1;
    }
    double deadline = clock_sec() + limit_sec;
    struct timespec pause = {.tv_nsec = 2000000};
    while ((ended = waitpid(child, &status, WNOHANG)) == 0 || (ended < 0 && errno == EINTR)) {
        if (!killed && clock_sec() > deadline) {
            kill(child, SIGKILL);
            killed = 1;
        }
        nanosleep(&pause, NULL);
    }
    if (killed) {
        snprintf(problem, (size_t)size, "gnuplot took longer than %g s and was ended", limit_sec);
        return -1;
    }
    /* Where something else reaps all children, the status is unknown: the files will tell. */
    if (ended < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        return 0;
    last_words(dir, words, sizeof words);
    snprintf(problem, (size_t)size, "gnuplot failed (%s %d)%s%s",
             WIFSIGNALED(status) ? "signal" : "exit status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), words[0] ? ": " : "", words);
    return -1;
}
