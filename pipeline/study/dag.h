/* DAG: every declared stage at every scope it has: the nodes, what each needs, and the order to run them in.
 */
#ifndef SINEW_DAG_H
#define SINEW_DAG_H

#include "study/config.h"

struct node {
    int decl; /* index into config.nodes */
    const struct stage *stage;
    const char *label; /* cell, checkpoint or base it works on, these with what was chosen (choice_name); ""
                          for the study */
    const char *path;  /* its artifact */
    const struct cell *cell;
    const char *checkpoint, *role, *base;
    struct choice choice; /* of the checkpoint or base */
    const struct cell **cells;
    int ncells;
    int ninputs;
    struct input *inputs;
    int *input_nodes; /* indices into dag.nodes, parallel to inputs */
};

struct dag {
    const struct config *config;
    int nnodes;
    struct node *nodes; /* grouped by declared stage, those in topological order: everything a node needs
                           stands before it, and nodes of the whole study stand last */
    int *first; /* config.nnodes + 1: the nodes of the k-th declared stage in order are [first[k], first[k+1])
                 */
    int *order; /* order[k]: index into config.nodes */
    const char *archive; /* the results archive's path */
};

/* Local. The folder of what is made of the checkpoint at path under a choice. Owned by the arena; NULL when e
 * is set. */
char *dag_checkpoint_folder(const struct config *c, const char *path, const struct choice *choice,
                            struct arena *a, struct err *e);

/* Local. What a stage is told of node n: parameters, names, scope and inputs. Processes, memory and artifact
 * are the runner's to add. arena: lifetime of the context. */
struct ctx node_ctx(const struct dag *d, const struct node *n, struct arena *arena);

/* Local. Narrows a node of a base to the cells of which nothing that it needs is lacking (lacks: per node of
 * the graph). Cells and inputs that stay keep their order; the cells that go stand behind the n->ncells that
 * stay. Returns how many go; -1 where it cannot do without: it is no node of a base, no cell would be left,
 * or what lacks is the base's own. It is then as it was. */
int dag_narrow(struct node *n, const char *lacks);

/* Local. Expands a checked config. Errors: SYSTEM (memory); the config's own errors (cycles, kinds) were
 * found by config_parse. */
err_t dag_build(struct dag *d, const struct config *c, struct arena *a, struct err *e);

#endif
