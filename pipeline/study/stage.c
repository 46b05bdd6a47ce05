#include "study/stage.h"

#include <stdio.h>
#include <string.h>

const char *cell_varies(const struct cell *a, const struct cell *b, char *text, int size)
{
    const struct {
        const char *name;
        int differs;
    } axis[] = {{"family", strcmp(a->family, b->family) != 0},
                {"algorithm", strcmp(a->algorithm, b->algorithm) != 0},
                {"seed", a->seed != b->seed},
                {"data", strcmp(a->data, b->data) != 0},
                {"step", a->step != b->step}};
    int used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof axis / sizeof *axis; i++)
        if (axis[i].differs)
            used += snprintf(text + used, (size_t)(size - used), "%s%s", used > 0 ? "+" : "", axis[i].name);
    return text;
}

int cell_is_exact(const struct cell *c)
{
    return c->tuned_choice.adapter == CHOICE_ADAPTER_EXACT;
}

const struct input *ctx_input(const struct ctx *ctx, const char *kind, const char *role)
{
    for (int i = 0; i < ctx->ninputs; i++)
        if (strcmp(ctx->inputs[i].kind, kind) == 0 && (!role || strcmp(ctx->inputs[i].role, role) == 0))
            return &ctx->inputs[i];
    return NULL;
}

int stage_writes(const struct stage *s, const struct dataset *d)
{
    for (const struct dataset *x = s->datasets; x && x->name; x++)
        if (strcmp(x->name, d->name) == 0)
            return 1;
    return 0;
}

void ctx_progress(struct ctx *ctx, double fraction, double bytes)
{
    *ctx->bytes_done += bytes;
    if (ctx->watch)
        ctx->watch(ctx->watch_arg, fraction);
    if (ctx->progress)
        progress_at(ctx->progress, ctx->progress_done, fraction, *ctx->bytes_done);
}

void ctx_item(struct ctx *ctx, const char *item)
{
    if (ctx->watch)
        ctx->watch_item(ctx->watch_arg, item);
}
