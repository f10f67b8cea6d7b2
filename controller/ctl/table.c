#include "controller/ctl/table.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "proto/text.h"

enum { GAP = 2, NARROWEST = 6 };

struct row {
    enum table_color color;
    char *cells[TABLE_COLUMNS];
};

struct table {
    const char *const *heads;
    size_t columns;
    struct row *rows;
    size_t count, capacity;
};

/* Characters, not bytes. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

struct table *table_new(const char *const *heads)
{
    struct table *table = memory_alloc(sizeof *table);
    table->heads = heads;
    while (table->columns < TABLE_COLUMNS && heads[table->columns] != NULL) {
        table->columns++;
    }
    return table;
}

void table_free(struct table *table)
{
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < table->count; i++) {
        for (size_t column = 0; column < table->columns; column++) {
            free(table->rows[i].cells[column]);
        }
    }
    free(table->rows);
    free(table);
}

/* Nothing from outside moves the cursor. */
static char *clean_copy(const char *text)
{
    char *copy = memory_copy_text(text);
    text_replace_controls(copy, '?');
    return copy;
}

void table_add(struct table *table, enum table_color color, const char *const *cells)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? 64 : 2 * table->capacity;
        table->rows = memory_grow(table->rows, table->capacity, sizeof *table->rows);
    }
    struct row *row = &table->rows[table->count++];
    row->color = color;
    for (size_t i = 0; i < table->columns; i++) {
        row->cells[i] = clean_copy(cells[i]);
    }
}

size_t table_count(const struct table *table)
{
    return table->count;
}

static void measure(const struct table *table, size_t widths[TABLE_COLUMNS])
{
    for (size_t column = 0; column < table->columns; column++) {
        widths[column] = width_of(table->heads[column]);
        for (size_t i = 0; i < table->count; i++) {
            size_t width = width_of(table->rows[i].cells[column]);
            widths[column] = width > widths[column] ? width : widths[column];
        }
    }
}

/* The last column gives way first, down to what a word takes; then the widest, one by one. */
static void shrink(const struct table *table, size_t widths[TABLE_COLUMNS], size_t room)
{
    size_t total = GAP * (table->columns - 1);
    for (size_t column = 0; column < table->columns; column++) {
        total += widths[column];
    }
    size_t *last = &widths[table->columns - 1];
    const size_t word = 16;
    while (total > room && *last > word) {
        --*last;
        total--;
    }
    while (total > room) {
        size_t widest = 0;
        for (size_t column = 1; column < table->columns; column++) {
            widest = widths[column] > widths[widest] ? column : widest;
        }
        if (widths[widest] <= NARROWEST) {
            return;
        }
        widths[widest]--;
        total--;
    }
}

static void print_cell(const char *text, size_t width, bool is_last, FILE *out)
{
    size_t shown = width_of(text);
    bool is_cut = shown > width;
    size_t left = is_cut ? width - 1 : shown;
    size_t printed = 0;
    for (; *text != '\0'; text++) {
        bool is_start = ((unsigned char)*text & 0xc0) != 0x80;
        if (is_start && printed == left) {
            break;
        }
        printed += is_start;
        fputc(*text, out);
    }
    if (is_cut) {
        fputs("…", out);
    } else if (!is_last) {
        fprintf(out, "%*s", (int)(width - shown), "");
    }
    if (!is_last) {
        fprintf(out, "%*s", GAP, "");
    }
}

static void print_row(const struct table *table, const char *const *cells, const size_t *widths, FILE *out)
{
    size_t used = table->columns;
    while (used > 1 && cells[used - 1][0] == '\0') {
        used--;
    }
    for (size_t column = 0; column < used; column++) {
        print_cell(cells[column], widths[column], column + 1 == used, out);
    }
}

void table_print(const struct table *table, int width, bool has_color, FILE *out)
{
    size_t widths[TABLE_COLUMNS] = {0};
    measure(table, widths);
    shrink(table, widths, (size_t)width);
    fputs(table_paint(TABLE_DIM, has_color), out);
    print_row(table, table->heads, widths, out);
    fprintf(out, "%s\n", table_unpaint(has_color));
    for (size_t i = 0; i < table->count; i++) {
        const struct row *row = &table->rows[i];
        bool is_painted = has_color && row->color != TABLE_PLAIN;
        fputs(table_paint(row->color, has_color), out);
        print_row(table, (const char *const *)row->cells, widths, out);
        fprintf(out, "%s\n", table_unpaint(is_painted));
    }
}

const char *table_paint(enum table_color color, bool has_color)
{
    static const char *const codes[] = {[TABLE_PLAIN] = "",
                                        [TABLE_GOOD] = "\033[32m",
                                        [TABLE_WARNING] = "\033[33m",
                                        [TABLE_BAD] = "\033[1;31m",
                                        [TABLE_DIM] = "\033[2m"};
    return has_color ? codes[color] : "";
}

const char *table_unpaint(bool has_color)
{
    return has_color ? "\033[0m" : "";
}
