#include "engine/spellings.h"

#include <stdlib.h>
#include <sys/stat.h>

/* A base's node, and the folder that the path leads to. */
struct base_folder {
    int decl, node;
    dev_t device;
    ino_t inode;
};

/* Nodes of one stage whose bases are one folder stand together, in the nodes' order. */
static int folder_order(const void *a, const void *b)
{
    const struct base_folder *x = a, *y = b;
    if (x->decl != y->decl)
        return x->decl < y->decl ? -1 : 1;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    if (x->inode != y->inode)
        return x->inode < y->inode ? -1 : 1;
    return (x->node > y->node) - (x->node < y->node);
}

static int same_folder(const struct base_folder *a, const struct base_folder *b)
{
    return a->decl == b->decl && a->device == b->device && a->inode == b->inode;
}

err_t spellings_warn(const struct runner *r, struct err *e)
{
    const struct dag *d = r->dag;
    struct base_folder *folders;
    int n = 0;
    TRY(arena_array(r->arena, "runner.bases", d->nnodes, &folders, e));
    for (int i = 0; i < d->nnodes; i++) {
        const struct node *node = &d->nodes[i];
        struct stat st;
        if (node->stage->scope == SCOPE_BASE && stat(node->base, &st) == 0)
            folders[n++] = (struct base_folder){node->decl, i, st.st_dev, st.st_ino};
    }
    qsort(folders, (size_t)n, sizeof *folders, folder_order);
    for (int i = 1, first = 0; i < n; i++) {
        first = same_folder(&folders[first], &folders[i]) ? first : i;
        for (int k = first; k < i; k++)
            log_warn(
                r->log,
                "%s and %s are the same base; cells on the one are not compared with cells on the other: "
                "write the path alike",
                d->nodes[folders[k].node].base, d->nodes[folders[i].node].base);
    }
    arena_drop(r->arena, folders);
    return ERR_OK;
}
