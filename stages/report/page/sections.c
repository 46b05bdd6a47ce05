#include "report/page/sections.h"

#include <string.h>

static const struct section table[] = {
    {.id = "in-short", .title = "In short", .list = "cards", .optional = 1, .write = section_brief},
    {.id = "words", .title = "Words", .list = "words", .optional = 1, .write = section_words},
    {.id = "the-study", .title = "The study", .write = section_study},
    {.id = "sparsity",
     .title = "Sparsity",
     .kinds = {"delta", "mask"},
     .sentence = "An update is what fine-tuning changed in a checkpoint. It is sparse where most parameters "
                 "(the numbers a model is made of) stayed as they were.",
     .without = "Not measured: the study has no delta or mask.",
     .about = {"unchanged"},
     .write = section_sparsity},
    {.id = "sparsity-by-tolerance",
     .title = "Sparsity by tolerance",
     .kinds = {"delta", "mask"},
     .sentence = "How small a change may be and still count as none is a choice; this section shows what it "
                 "decides.",
     .without = "Not measured: no node of the study counts at several tolerances.",
     .write = section_tolerances},
    {.id = "sparsity-by-layer",
     .title = "Sparsity by layer",
     .kinds = {"delta", "mask"},
     .sentence = "A model is a stack of layers, each with the same kinds of weight matrices (modules). Is "
                 "the change in some of them only?",
     .without = "Not measured: the study has no mask.",
     .write = section_layers},
    {.id = "sparsity-by-module",
     .title = "Sparsity by module",
     .kinds = {"delta", "mask"},
     .without = "Not measured: the study has no mask.",
     .write = section_modules},
    {.id = "size-and-direction",
     .title = "Size and direction",
     .kinds = {"delta"},
     .sentence =
         "How far did the weights move, beside how large they are; did they turn; and is the change spread over "
         "many weights or carried by a few?",
     .without = "Not measured: the study has no delta.",
     .about = {"kinship", "size", "nonfinite", "concentration"},
     .write = section_size},
    {.id = "which-weights-move",
     .title = "Which weights move",
     .kinds = {"delta"},
     .sentence = "Weights are stored with few digits. A change much smaller than the weight is rounded away, "
                 "so whether a weight moves depends on its size.",
     .without = "Not measured: the study has no delta, or nothing changed.",
     .about = {"rounding"},
     .numbers = "histograms"},
    {.id = "rank-of-the-updates",
     .title = "Rank of the updates",
     .kinds = {"rank"},
     .sentence = "An update may touch few parameters and still change a matrix in every independent "
                 "direction: its rank tells.",
     .without = "Not measured: the study has no rank.",
     .about = {"full_rank"},
     .write = section_rank},
    {.id = "overlap-of-updated-sets",
     .title = "Overlap of updated sets",
     .kinds = {"overlap"},
     .sentence = "Do two runs from the same base update the same parameters, and more of them than chance "
                 "would have it?",
     .without = "Not measured: the study has no overlap, or no two cells on one base.",
     .write = section_overlap},
    {.id = "consensus",
     .title = "Consensus",
     .kinds = {"overlap"},
     .sentence = "How many parameters do most of the runs on one base agree upon?",
     .without = "Not measured: the study has no overlap.",
     .write = section_consensus},
    {.id = "training-dynamics",
     .title = "Training dynamics",
     .kinds = {"dynamics"},
     .sentence = "Checkpoints saved during a run show when its parameters moved, and whether they came back.",
     .without = "Not measured: no cell of the study has a training step.",
     .write = section_dynamics},
    {.id = "token-entropy",
     .title = "Token entropy",
     .kinds = {"token-entropy"},
     .sentence = "Where a model writes text, its entropy at each token says how open the choice was: 0 nats "
                 "is certainty.",
     .without = "Not measured: the study has no token-entropy, or its cells name no logits.",
     .about = {"entropy"},
     .write = section_entropy},
    {.id = "published-figures",
     .title = "Published figures",
     .without = "The config gives none.",
     .write = section_published},
    {.id = "left-out",
     .title = "Left out",
     .without = "Nothing: every stage took every tensor.",
     .about = {"coverage"},
     .write = section_left_out},
};
enum { SECTIONS = sizeof table / sizeof *table };

const struct section *sections(int *n)
{
    *n = SECTIONS;
    return table;
}

const struct section *section_find(const char *id)
{
    for (int i = 0; i < SECTIONS; i++)
        if (strcmp(table[i].id, id) == 0)
            return &table[i];
    return NULL;
}
