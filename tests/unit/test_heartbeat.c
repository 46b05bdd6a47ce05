/* Heartbeat: who looks from outside sees a job that runs, at what, and one that was killed, at what; nothing
 * is left of one that ended. */
#include "unitlib.h"

#include "base/hash.h"
#include "engine/state/heartbeat.h"
#include "engine/state/jobs.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct comm world = {.np = 1};

static void wait_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* The one job there is, once its process has said where it is; the test fails where none does so in time. */
static struct job_record the_job(struct bench *b, const char *node)
{
    struct job_record *jobs = NULL;
    int n = 0;
    for (int tries = 0; tries < 500; tries++) {
        assert_int_equal(jobs_read(b->folder, &jobs, &n, &b->arena, &b->err), ERR_OK);
        if (n == 1 && jobs[0].nprocesses == 1 && strcmp(jobs[0].process[0].node, node) == 0)
            return jobs[0];
        wait_ms(20);
    }
    fail_msg("no job at %s", node);
    return (struct job_record){.path = ""};
}

static void runs_and_ends(void **state)
{
    struct bench *b = *state;
    struct heartbeat *h;
    char folder[200], key[HASH_TEXT], host[64] = "";
    gethostname(host, sizeof host - 1);
    assert_true(jobs_age(b->folder, host, getpid()) < 0);
    assert_int_equal(heartbeat_start(&h, &world, b->folder, &b->arena, &b->err), ERR_OK);
    assert_non_null(h);
    wait_ms(300);
    heartbeat_at(h, "delta", "f/a\t0\n", "out/cells/f/a/0/delta.h5");
    struct job_record j = the_job(b, "delta");
    assert_int_equal(j.state, JOB_RUNS);
    assert_int_equal(j.holder.pid, getpid());
    assert_string_equal(j.process[0].label, "f/a?0?");
    hash_text("out/cells/f/a/0/delta.h5", key);
    assert_string_equal(j.process[0].artifact, key);
    assert_true(j.process[0].peak_bytes >= j.process[0].now_bytes && j.process[0].now_bytes > 100000);
    assert_true(j.process[0].after.limit_bytes > 1 << 20);
    assert_true(j.age_sec < 60 && j.process[0].node_sec < 60);
    double age = jobs_age(b->folder, host, getpid());
    assert_true(age >= 0 && age < 60);
    assert_string_equal(j.process[0].item, "");
    heartbeat_share(h, 0.5);
    heartbeat_item(h, "model.layers.7\n");
    heartbeat_at(h, "mask", "f/a/0", "m.h5"); /* the next node is at none */
    assert_string_equal(the_job(b, "mask").process[0].item, "");
    heartbeat_item(h, "model.layers.8\n");
    for (int tries = 0; tries < 500 && !j.process[0].item[0]; tries++) {
        wait_ms(20);
        j = the_job(b, "mask");
    }
    assert_string_equal(j.process[0].item, "model.layers.8?");
    heartbeat_at(h, "", "", "");
    heartbeat_end(h);
    snprintf(folder, sizeof folder, "%s/" JOBS_FOLDER, b->folder);
    assert_int_not_equal(access(folder, F_OK), 0);
}

/* A process that is killed leaves its file; the next job knows that it is dead and removes it. */
static void killed(void **state)
{
    struct bench *b = *state;
    struct heartbeat *h;
    pid_t child = fork();
    if (child == 0) {
        if (heartbeat_start(&h, &world, b->folder, &b->arena, &b->err) != ERR_OK || !h)
            _exit(1);
        wait_ms(300);
        heartbeat_at(h, "rank", "f/a/0", "r.h5");
        for (;;)
            pause();
    }
    struct job_record j = the_job(b, "rank");
    assert_int_equal(j.state, JOB_RUNS);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    j = the_job(b, "rank");
    assert_int_equal(j.state, JOB_KILLED);
    char cause[700];
    struct job_process *p = &j.process[0];
    p->before.kills_group = p->after.kills_group = p->before.kills_machine = p->after.kills_machine =
        INT64_MAX;
    assert_string_equal(jobs_memory_cause(&j, cause, sizeof cause), ""); /* it held but little */
    p->after.limit_bytes = p->now_bytes + p->now_bytes / 10;
    assert_non_null(
        strstr(jobs_memory_cause(&j, cause, sizeof cause), "memory is the likely cause: it held"));
    p->after.limit_bytes *= 100;
    p->before.kills_group = 3;
    p->after.kills_group = 4;
    assert_non_null(strstr(jobs_memory_cause(&j, cause, sizeof cause), "the kernel has killed"));
    assert_int_equal(heartbeat_start(&h, &world, b->folder, &b->arena, &b->err), ERR_OK);
    assert_non_null(h);
    assert_int_not_equal(access(j.path, F_OK), 0);
    heartbeat_end(h);
}

/* Of a job on another machine nothing but its silence can be told. Files that are none are no jobs. */
static void elsewhere(void **state)
{
    struct bench *b = *state;
    char folder[200], path[400], text[2 * JOBS_RECORD + 1];
    struct job_record *jobs;
    int n;
    snprintf(folder, sizeof folder, "%s/" JOBS_FOLDER, b->folder);
    assert_int_equal(mkdir(folder, 0777), 0);
    memset(text, ' ', sizeof text);
    int used = snprintf(text, sizeof text, "file far 77 5 other-boot other-space\njob 1 1 2 4711\n");
    text[used] = ' ';
    used = snprintf(text + JOBS_RECORD, JOBS_RECORD,
                    "0\tfar\t77\t9.5\t3.5\t0.25\t100\t200\t1000\t1\t0\t0\t0\t0\tabc\tmask\tf/a/0\t");
    text[JOBS_RECORD + used] = ' ';
    for (int bad = 0; bad < 3; bad++) {
        snprintf(path, sizeof path, "%s/far-%d", folder, bad);
        if (bad == 1)
            text[0] = '\n'; /* no holder */
        if (bad == 2)
            memcpy(text, "file far 77 5 other-boot other-space\njob 1 999999999 2 4711", 59);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(text, 2 * JOBS_RECORD, 1, f), 1);
        fclose(f);
    }
    snprintf(path, sizeof path, "%s/far-link", folder);
    assert_int_equal(symlink("far-0", path), 0);
    snprintf(path, sizeof path, "%s/far-0", folder);
    assert_int_equal(jobs_read(b->folder, &jobs, &n, &b->arena, &b->err), ERR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(jobs[0].state, JOB_RUNS);
    assert_string_equal(jobs[0].number, "4711");
    assert_string_equal(jobs[0].process[0].node, "mask");
    assert_true(jobs[0].process[0].share == 0.25 && jobs[0].process[0].peak_bytes == 200);
    const struct timespec ahead[2] = {{.tv_sec = time(NULL) + 7200}, {.tv_sec = time(NULL) + 7200}};
    assert_int_equal(utimensat(AT_FDCWD, path, ahead, 0), 0); /* of before the clock was set back */
    assert_int_equal(jobs_read(b->folder, &jobs, &n, &b->arena, &b->err), ERR_OK);
    assert_int_equal(jobs[0].state, JOB_KILLED);
    const struct timespec old[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    assert_int_equal(jobs_read(b->folder, &jobs, &n, &b->arena, &b->err), ERR_OK);
    assert_int_equal(jobs[0].state, JOB_KILLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_FOLDER(runs_and_ends), TEST_FOLDER(killed),
                                       TEST_FOLDER(elsewhere)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
