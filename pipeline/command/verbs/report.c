#include "command/cli.h"

static err_t report_run(struct runner *r, const struct cli *c, struct err *e)
{
    (void)c;
    return runner_report(r, e);
}

const struct verb verb_report = {
    .name = "report",
    .args = "CONFIG",
    .brief = "tables and figures from the archive alone, no checkpoint needed",
    .more = "",
    .stops = 1,
    .run = report_run,
};
