#include "report/page/html.h"

#include "report/figures/plot.h"

#include <stdio.h>
#include <string.h>

enum {
    OPEN_ROWS = 12, /* a table with more rows is folded */
    CELLS = 64
};

/* Colours: text at least 4.5:1 on its background in both schemes. Figures scale with their column; the least
 * width of a column keeps their texts readable. Folded parts open for the printer. */
static const char style[] =
    ":root{color-scheme:light dark;--ink:#1b2127;--soft:#56606b;--paper:#fff;--card:#f5f7f9;--line:#d5dbe1;"
    "--link:#0a5c9e;--warn:#fff3d6;--warnline:#b97a00;--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#b8588f;"
    "--c4:#c98500;--c5:#3d9fd6;--c6:#7a6a53;--c7:#8a63d2}\n"
    "@media (prefers-color-scheme:dark){:root{--ink:#e4e8ec;--soft:#a3aeb9;--paper:#14181c;--card:#1c2228;"
    "--line:#39424b;--link:#7cbcf2;--warn:#3a2f14;--warnline:#e0a93b;--c0:#4a9fe0;--c1:#f08a4b;--c2:#2fbf95;"
    "--c3:#e09cc4;--c4:#e6b23c;--c5:#8fd0f5;--c6:#b8a88e;--c7:#b79bf0}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe "
    "UI',"
    "Roboto,'DejaVu Sans',Arial,sans-serif}\n"
    "main,header{max-width:1320px;margin:0 auto;padding:0 16px}\n"
    "h1{font-size:1.7rem;line-height:1.25;margin:1.4rem 0 .8rem;overflow-wrap:anywhere}\n"
    "h2{font-size:1.3rem;margin:2.6rem 0 .6rem;padding-top:.8rem;border-top:1px solid var(--line)}\n"
    "p,ul{max-width:78ch;margin:.6rem 0}\n"
    "ul{padding-left:1.3rem}li{margin:.25rem 0}p,li,figcaption{overflow-wrap:anywhere}\n"
    "a{color:var(--link)}\n"
    "nav{margin:1rem 0;font-size:.92rem}nav a{display:inline-block;margin:0 .9rem .35rem 0}\n"
    "blockquote{margin:1rem 0;padding:.7rem 1rem;background:var(--warn);border-left:4px solid "
    "var(--warnline);"
    "overflow-wrap:anywhere}blockquote p{margin:0}\n"
    ".cards{list-style:none;padding:0;max-width:none;display:grid;gap:12px;"
    "grid-template-columns:repeat(auto-fit,minmax(min(100%,230px),1fr))}\n"
    ".cards li{margin:0;padding:.8rem 1rem;background:var(--card);border:1px solid "
    "var(--line);border-radius:8px}\n"
    ".cards strong{display:block;font-size:1.25rem;line-height:1.3}\n"
    ".figures{display:grid;gap:20px;align-items:start;margin:1rem 0;"
    "grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr))}\n"
    ".words{list-style:none;padding:0;max-width:none;columns:24rem;column-gap:2.5rem;font-size:.93rem}"
    ".words li{break-inside:avoid;margin:0 0 .4rem}\n"
    "figure{margin:0;padding:12px;background:var(--card);border:1px solid "
    "var(--line);border-radius:8px;min-width:0;"
    "max-width:760px}\n"
    "svg.plot{display:block;width:100%;height:auto;color:var(--ink)}\n"
    "svg.plot text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',Arial,sans-serif}\n"
    "figcaption{font-size:.9rem;line-height:1.45;color:var(--soft);margin-top:.5rem}\n"
    "figcaption strong{display:block;color:var(--ink);font-size:1rem}\n"
    ".undrawn{padding:1rem;border:1px dashed var(--line)}\n"
    ".table{overflow-x:auto;margin:.8rem 0;border:1px solid var(--line);border-radius:6px;max-width:100%}\n"
    "table{border-collapse:collapse;font-size:.87rem;font-variant-numeric:tabular-nums;width:auto}\n"
    "th,td{padding:.3rem .6rem;text-align:left;border-bottom:1px solid var(--line)}\n"
    "td:first-child{white-space:nowrap}\n"
    "th{background:var(--card);font-weight:600}tr:last-child td{border-bottom:0}\n"
    "td.r,th.r{text-align:right}td.long{min-width:18rem}\n"
    "@media (max-width:600px){figure{padding:8px}table{font-size:.78rem}th,td{padding:.25rem .4rem}}\n"
    "details{margin:.8rem 0}summary{cursor:pointer;color:var(--link);padding:.2rem 0}\n"
    "@media "
    "print{:root{color-scheme:light;--ink:#000;--soft:#333;--paper:#fff;--card:#fff;--line:#bbb;--link:#000;-"
    "-warn:#fff}"
    "html{font-size:9pt}body{font-size:1rem}nav,summary{display:none}main,header{max-width:none;padding:0}"
    "figure,tr,.cards li{break-inside:avoid}h2{break-after:avoid}.table{overflow:visible;border:0}"
    "table{font-size:6.5pt}th,td{padding:1pt 3pt}.figures{grid-template-columns:1fr 1fr}}\n";

static const char script[] =
    "addEventListener('beforeprint',function(){document.querySelectorAll('details').forEach("
    "function(d){d.open=true})});";

struct html {
    const struct figures *figures;
    struct text *out;
    struct err *e;
    int in_section, in_figures, in_extra;
    const char *list; /* class of the section's lists */
};

/* ---- texts ---- */

static void escape(struct text *out, const char *text, size_t n, struct err *e)
{
    for (const char *p = text, *end = text + n; p < end; p++) {
        const char *name = *p == '<'   ? "&lt;"
                           : *p == '>' ? "&gt;"
                           : *p == '&' ? "&amp;"
                           : *p == '"' ? "&quot;"
                                       : NULL;
        size_t plain = strcspn(p, "<>&\"");
        if (name) {
            text_add(out, e, "%s", name);
        } else {
            plain = plain < (size_t)(end - p) ? plain : (size_t)(end - p);
            text_add(out, e, "%.*s", (int)plain, p);
            p += plain - 1;
        }
    }
}

/* [text](target) at p: its parts, or 0. Only files of the report's folder are linked. */
static int link_at(const char *p, const char *end, const char **middle, const char **close)
{
    const char *bracket = memchr(p, ']', (size_t)(end - p));
    if (!bracket || bracket + 1 >= end || bracket[1] != '(')
        return 0;
    const char *paren = memchr(bracket, ')', (size_t)(end - bracket));
    if (!paren || memchr(bracket, ':', (size_t)(paren - bracket)) ||
        memchr(bracket, ' ', (size_t)(paren - bracket)))
        return 0;
    *middle = bracket;
    *close = paren;
    return 1;
}

/* A line's text: bold words and links, the rest escaped. */
static void put_inline(struct html *h, const char *text, size_t n)
{
    const char *end = text + n, *done = text, *middle, *close;
    for (const char *p = text; p < end; p++) {
        if (p + 1 < end && p[0] == '*' && p[1] == '*') {
            const char *last = p + 2;
            while (last + 1 < end && !(last[0] == '*' && last[1] == '*'))
                last++;
            if (last + 1 >= end)
                continue;
            escape(h->out, done, (size_t)(p - done), h->e);
            text_add(h->out, h->e, "<strong>");
            escape(h->out, p + 2, (size_t)(last - p - 2), h->e);
            text_add(h->out, h->e, "</strong>");
            done = last + 2;
            p = done - 1;
        } else if (p[0] == '[' && link_at(p, end, &middle, &close)) {
            escape(h->out, done, (size_t)(p - done), h->e);
            text_add(h->out, h->e, "<a href=\"");
            escape(h->out, middle + 2, (size_t)(close - middle - 2), h->e);
            text_add(h->out, h->e, "\">");
            escape(h->out, p + 1, (size_t)(middle - p - 1), h->e);
            text_add(h->out, h->e, "</a>");
            done = close + 1;
            p = close;
        }
    }
    escape(h->out, done, (size_t)(end - done), h->e);
}

/* "Rank of the updates" -> "rank-of-the-updates" */
static void put_slug(struct html *h, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        c = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        text_add(h->out, h->e, "%c", (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '-');
    }
}

/* ---- blocks ---- */

static size_t line_length(const char *line)
{
    return strcspn(line, "\n");
}

static const char *next_line(const char *line)
{
    line += line_length(line);
    return *line ? line + 1 : line;
}

static int starts(const char *line, const char *mark)
{
    return strncmp(line, mark, strlen(mark)) == 0;
}

static int is_text(const char *line)
{
    return *line && *line != '\n' && !starts(line, "#") && !starts(line, "> ") && !starts(line, "- ") &&
           !starts(line, "| ") && !starts(line, "![");
}

static void end_figures(struct html *h)
{
    if (h->in_figures)
        text_add(h->out, h->e, "</div>\n%s", h->in_extra ? "</details>\n" : "");
    h->in_figures = h->in_extra = 0;
}

/* Lines of one paragraph. */
static const char *put_lines(struct html *h, const char *line)
{
    for (int first = 1; is_text(line); first = 0, line = next_line(line)) {
        text_add(h->out, h->e, "%s", first ? "" : " ");
        put_inline(h, line, line_length(line));
    }
    return line;
}

/* The figure of a picture's file, "figures/NAME.png". */
static const struct figure *find_figure(const struct html *h, const char *target)
{
    const char *name = strrchr(target, '/');
    size_t length = name ? strcspn(++name, ")\n") : 0;
    for (int64_t i = 0; i < h->figures->n && length > 4; i++) {
        const char *own = h->figures->list[i].chart->name;
        if (strlen(own) == length - 4 && strncmp(own, name, length - 4) == 0)
            return &h->figures->list[i];
    }
    return NULL;
}

static int64_t count_extra(const struct html *h, const struct figure *from)
{
    int64_t n = 0;
    for (const struct figure *f = from; f < h->figures->list + h->figures->n; f++, n++)
        if (!f->chart->extra || strcmp(f->chart->section, from->chart->section) != 0)
            break;
    return n;
}

static const char *put_figure(struct html *h, const char *line)
{
    char target[512];
    const char *paren = strstr(line, "](");
    snprintf(target, sizeof target, "%.*s", paren ? (int)strcspn(paren + 2, ")\n") : 0,
             paren ? paren + 2 : "");
    const struct figure *f = find_figure(h, target);
    if (f && h->in_figures && f->chart->extra != h->in_extra)
        end_figures(h);
    if (!h->in_figures) {
        h->in_extra = f && f->chart->extra;
        if (h->in_extra)
            text_add(h->out, h->e, "<details class=\"more\"><summary>%lld more of this kind</summary>\n",
                     (long long)count_extra(h, f));
        text_add(h->out, h->e, "<div class=\"figures\">\n");
        h->in_figures = 1;
    }
    text_add(h->out, h->e, "<figure id=\"figure-%s\">\n", f ? f->chart->name : "");
    struct text title = {.arena = h->out->arena};
    if (f)
        escape(&title, f->chart->title, strlen(f->chart->title), h->e);
    if (!f || !f->svg || !plot_inline(f->svg, f->chart->name, title.text ? title.text : "", h->out, h->e)) {
        text_add(h->out, h->e, "<p class=\"undrawn\">Not drawn");
        if (f && f->problem[0]) {
            text_add(h->out, h->e, ": ");
            escape(h->out, f->problem, strlen(f->problem), h->e);
        }
        text_add(h->out, h->e, "</p>\n");
    }
    text_add(h->out, h->e, "<figcaption>");
    line = put_lines(h, next_line(line));
    text_add(h->out, h->e, "</figcaption>\n</figure>\n");
    return line;
}

/* Cuts a row at its bars: start and length of each cell, blanks trimmed. Returns the number of cells. */
static int cut_row(const char *line, const char **cell, size_t *length)
{
    int n = 0;
    const char *end = line + line_length(line), *from = line + 1;
    for (const char *p = from; p < end && n < CELLS; p++) {
        if (*p != '|' || p[-1] == '\\')
            continue;
        const char *last = p;
        while (from < last && *from == ' ')
            from++;
        while (last > from && last[-1] == ' ')
            last--;
        cell[n] = from;
        length[n++] = (size_t)(last - from);
        from = p + 1;
    }
    return n;
}

static void put_cell(struct html *h, const char *text, size_t n)
{
    const char *end = text + n, *bar;
    while ((bar = memchr(text, '|', (size_t)(end - text)))) { /* "\|" */
        escape(h->out, text, (size_t)(bar - text) - (bar > text && bar[-1] == '\\'), h->e);
        text_add(h->out, h->e, "|");
        text = bar + 1;
    }
    escape(h->out, text, (size_t)(end - text), h->e);
}

static const char *put_table(struct html *h, const char *line)
{
    const char *cell[CELLS];
    size_t length[CELLS];
    char align[CELLS + 1] = "";
    int rows = -2;
    for (const char *p = line; starts(p, "|"); p = next_line(p))
        rows++;
    int columns = cut_row(next_line(line), cell, length);
    for (int c = 0; c < columns; c++)
        align[c] = length[c] > 0 && cell[c][length[c] - 1] == ':' ? 'r' : 'l';
    if (rows > OPEN_ROWS)
        text_add(h->out, h->e, "<details><summary>Table: %d rows</summary>\n", rows);
    text_add(h->out, h->e, "<div class=\"table\" tabindex=\"0\"><table>\n");
    for (int r = 0; starts(line, "|"); r++, line = next_line(line)) {
        if (r == 1)
            continue;
        int n = cut_row(line, cell, length);
        text_add(h->out, h->e, r == 0 ? "<thead><tr>" : "<tr>");
        for (int c = 0; c < n && c < columns; c++) {
            int title = r == 0, right = align[c] == 'r';
            text_add(h->out, h->e, "<%s%s%s>", title ? "th scope=\"col\"" : "td", right ? " class=\"r\"" : "",
                     !right && !title && length[c] > 60 ? " class=\"long\"" : "");
            put_cell(h, cell[c], length[c]);
            text_add(h->out, h->e, title ? "</th>" : "</td>");
        }
        text_add(h->out, h->e, r == 0 ? "</tr></thead><tbody>\n" : "</tr>\n");
    }
    text_add(h->out, h->e, "</tbody></table></div>\n%s", rows > OPEN_ROWS ? "</details>\n" : "");
    return line;
}

static const char *put_list(struct html *h, const char *line)
{
    text_add(h->out, h->e, "<ul%s>\n", h->list ? h->list : "");
    while (starts(line, "- ")) {
        text_add(h->out, h->e, "<li>");
        put_inline(h, line + 2, line_length(line) - 2);
        line = next_line(line);
        if (is_text(line)) {
            text_add(h->out, h->e, " ");
            line = put_lines(h, line);
        }
        text_add(h->out, h->e, "</li>\n");
    }
    text_add(h->out, h->e, "</ul>\n");
    return line;
}

static const char *put_quote(struct html *h, const char *line)
{
    text_add(h->out, h->e, "<blockquote><p>");
    for (; starts(line, "> "); line = next_line(line)) {
        put_inline(h, line + 2, line_length(line) - 2);
        text_add(h->out, h->e, " ");
    }
    text_add(h->out, h->e, "</p></blockquote>\n");
    return line;
}

static const char *put_section(struct html *h, const char *line)
{
    size_t n = line_length(line) - 3;
    text_add(h->out, h->e, "%s<section id=\"", h->in_section ? "</section>\n" : "");
    put_slug(h, line + 3, n);
    text_add(h->out, h->e, "\">\n<h2>");
    put_inline(h, line + 3, n);
    text_add(h->out, h->e, "</h2>\n");
    h->in_section = 1;
    h->list = starts(line, "## In short") ? " class=\"cards\""
              : starts(line, "## Words")  ? " class=\"words\""
                                          : "";
    return next_line(line);
}

static void put_contents(struct html *h, const char *markdown)
{
    text_add(h->out, h->e, "<nav aria-label=\"Sections\">");
    for (const char *line = markdown; *line; line = next_line(line)) {
        if (!starts(line, "## "))
            continue;
        text_add(h->out, h->e, "<a href=\"#");
        put_slug(h, line + 3, line_length(line) - 3);
        text_add(h->out, h->e, "\">");
        put_inline(h, line + 3, line_length(line) - 3);
        text_add(h->out, h->e, "</a> ");
    }
    text_add(h->out, h->e, "</nav>\n");
}

err_t html_page(const char *markdown, const char *title, const struct figures *figures, struct text *out,
                struct err *e)
{
    struct html h = {.figures = figures, .out = out, .e = e};
    text_add(out, e,
             "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
             "content=\"width=device-width, initial-scale=1\">\n<title>");
    escape(out, title, strlen(title), e);
    text_add(out, e, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n", style);
    for (const char *line = markdown; *line && e->code == ERR_OK;) {
        if (!starts(line, "![") && *line != '\n')
            end_figures(&h);
        if (*line == '\n') {
            line++;
        } else if (starts(line, "# ")) {
            text_add(out, e, "<h1>");
            put_inline(&h, line + 2, line_length(line) - 2);
            text_add(out, e, "</h1>\n");
            put_contents(&h, markdown);
            line = next_line(line);
        } else if (starts(line, "## ")) {
            line = put_section(&h, line);
        } else if (starts(line, "![")) {
            line = put_figure(&h, line);
        } else if (starts(line, "| ")) {
            line = put_table(&h, line);
        } else if (starts(line, "- ")) {
            line = put_list(&h, line);
        } else if (starts(line, "> ")) {
            line = put_quote(&h, line);
        } else if (is_text(line)) {
            text_add(out, e, "<p>");
            line = put_lines(&h, line);
            text_add(out, e, "</p>\n");
        } else {
            line = next_line(line);
        }
    }
    end_figures(&h);
    return text_add(out, e, "%s</main>\n<script>%s</script>\n</body>\n</html>\n",
                    h.in_section ? "</section>\n" : "", script);
}
