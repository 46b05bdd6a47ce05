/* Functions of the C library that cannot be called safely, or not in any way a reader can see to be safe:
 * they write without knowing how much room there is, or turn text into numbers without saying that there was
 * none. The build includes this file in front of every source file of this tree, tests as well; a call of one
 * of them does not compile, and the compiler's message names it. What to call instead stands beside each. It
 * comes after the headers that declare them, so that the library's own declarations stay as they are. */
#ifndef SINEW_BANNED_H
#define SINEW_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BANNED(function) this_tree_does_not_call_##function

#undef strcpy /* snprintf, or arena_strdup */
#define strcpy(...) BANNED(strcpy)
#undef strcat /* text_add */
#define strcat(...) BANNED(strcat)
#undef sprintf /* snprintf */
#define sprintf(...) BANNED(sprintf)
#undef vsprintf /* vsnprintf */
#define vsprintf(...) BANNED(vsprintf)
#undef strtok /* strcspn and a length */
#define strtok(...) BANNED(strtok)
#undef atoi /* strtoll, and a look at where it ended */
#define atoi(...) BANNED(atoi)
#undef gets /* fgets */
#define gets(...) BANNED(gets)

#endif
