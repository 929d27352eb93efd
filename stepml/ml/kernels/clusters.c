/* An iteration of k-means over dense rows, in one pass: nearest centroids, sums of their rows.

   The arithmetic is that of stepml/ml/models/dense_clusters.py, to the bit, on every processor:

   - A nearest centroid is accepted if no other is within the rounding errors. Otherwise doubles
     decide: products of two floats are exact, and their sums are in the order of the features.
   - Rows are rounded to multiples of a power of two, so that the sums of a block are exact.
   - Squares are exact doubles, and each lane adds them in the order of the rows.

   Compile with -ffp-contract=off, and never with -ffast-math. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef float Lanes __attribute__((vector_size(32), aligned(4), may_alias));
typedef float Half __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t Bits __attribute__((vector_size(32), aligned(4), may_alias));

enum {
    LANES = 8,
    WIDTH = 3,             /* vectors of a panel */
    PANEL = WIDTH * LANES, /* rows that are compared together */
    TILE = 4,              /* centroids whose scores are in registers at a time */
    DEEP = 256,            /* features of a panel that stay in the first cache */
    FOLDS = 16,            /* rows whose squares a lane of a block adds */
};

#define LARGE 1e37 /* products from here on may overflow */

#define INLINE static inline __attribute__((always_inline))

#ifdef __FMA__
#include <cpuid.h>
#include <immintrin.h>

INLINE Lanes larger(Lanes a, Lanes b) { return _mm256_max_ps(a, b); }
INLINE Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_ps(a, b, c); }

int runs_here(void)
{
    unsigned a, b, c, d, state;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_FMA) || !(c & bit_OSXSAVE)) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2)) return 0;
    __asm__("xgetbv" : "=a"(state), "=d"(d) : "c"(0));
    return (state & 6) == 6; /* the system saves vector registers */
}
#else
INLINE Lanes larger(Lanes a, Lanes b)
{
    Bits more = a > b;
    return (Lanes)(((Bits)a & more) | ((Bits)b & ~more));
}
INLINE Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return a * b + c; }

int runs_here(void) { return 1; }
#endif

typedef struct {
    const float *points;  /* (n_clusters, n_features) */
    const double *halves; /* (n_clusters,) half of each squared norm */
    int64_t n_clusters, n_features;
    double reach;    /* the largest norm */
    double relative; /* rounding errors of a difference of scores, relative to the norms */
} Centroids;

typedef struct {
    float *halves;  /* (n_clusters,) as in Centroids */
    float *rows;    /* (block_rows, n_features) minus the origin, or the last rows and zeros */
    float *panel;   /* (n_features, PANEL) */
    float *scores;  /* (n_clusters, PANEL) product with a row, minus half a squared norm */
    float *peaks;   /* (block_rows / FOLDS, n_features) largest absolute values of lanes */
    float *largest; /* (n_features,) absolute values of a block */
    double *offset; /* (n_features,) numbers whose last digit is the unit of sums */
    uint64_t *units; /* (n_clusters, n_features) sums of a block, whose overflow is harmless */
    int64_t *counts; /* (n_clusters,) of a block */
} Scratch;

typedef union {
    double number;
    uint64_t bits;
} Double;

INLINE Lanes every(float x) { return (Lanes){x, x, x, x, x, x, x, x}; }

INLINE Lanes pair(const float *a, const float *b)
{
    return __builtin_shufflevector(*(const Half *)a, *(const Half *)b, 0, 1, 2, 3, 4, 5, 6, 7);
}

/* Transpose four features of eight rows. */
INLINE void transpose_some(const float *restrict x, int64_t d, float *restrict to)
{
    Lanes a = pair(x, x + 4 * d), b = pair(x + d, x + 5 * d);
    Lanes c = pair(x + 2 * d, x + 6 * d), e = pair(x + 3 * d, x + 7 * d);
    Lanes ab = __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13);
    Lanes ce = __builtin_shufflevector(c, e, 0, 8, 1, 9, 4, 12, 5, 13);
    *(Lanes *)to = __builtin_shufflevector(ab, ce, 0, 1, 8, 9, 4, 5, 12, 13);
    *(Lanes *)(to + PANEL) = __builtin_shufflevector(ab, ce, 2, 3, 10, 11, 6, 7, 14, 15);
    ab = __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
    ce = __builtin_shufflevector(c, e, 2, 10, 3, 11, 6, 14, 7, 15);
    *(Lanes *)(to + 2 * PANEL) = __builtin_shufflevector(ab, ce, 0, 1, 8, 9, 4, 5, 12, 13);
    *(Lanes *)(to + 3 * PANEL) = __builtin_shufflevector(ab, ce, 2, 3, 10, 11, 6, 7, 14, 15);
}

static void transpose(const float *restrict x, int64_t rows, int64_t d, float *restrict panel)
{
    int64_t r = 0;
    if (rows < PANEL) memset(panel, 0, PANEL * d * sizeof *panel);
    for (; r + LANES <= rows; r += LANES) {
        const float *row = x + r * d;
        int64_t f = 0;
        for (; f + 4 <= d; f += 4) transpose_some(row + f, d, panel + f * PANEL + r);
        for (; f < d; f++)
            for (int i = 0; i < LANES; i++) panel[f * PANEL + r + i] = row[i * d + f];
    }
    for (; r < rows; r++)
        for (int64_t f = 0; f < d; f++) panel[f * PANEL + r] = x[r * d + f];
}

/* Add the products of some features of a panel with `n` centroids to their scores. */
INLINE void add_products(
    const float *restrict panel, int64_t features, const float *restrict points, int64_t d,
    float *restrict scores, int n)
{
    Lanes sums[TILE][WIDTH];
    for (int j = 0; j < n; j++)
        for (int w = 0; w < WIDTH; w++) sums[j][w] = ((const Lanes *)(scores + j * PANEL))[w];
    for (int64_t f = 0; f < features; f++)
        for (int j = 0; j < n; j++) {
            Lanes point = every(points[j * d + f]);
            for (int w = 0; w < WIDTH; w++)
                sums[j][w] =
                    multiply_add(point, ((const Lanes *)(panel + f * PANEL))[w], sums[j][w]);
        }
    for (int j = 0; j < n; j++)
        for (int w = 0; w < WIDTH; w++) ((Lanes *)(scores + j * PANEL))[w] = sums[j][w];
}

static void score(const Centroids *c, const Scratch *s)
{
    int64_t d = c->n_features;
    for (int64_t j = 0; j < c->n_clusters; j++)
        for (int i = 0; i < PANEL; i++) s->scores[j * PANEL + i] = -s->halves[j];
    for (int64_t first = 0; first < d; first += DEEP) {
        const float *panel = s->panel + first * PANEL, *points = c->points + first;
        int64_t features = d - first < DEEP ? d - first : DEEP, j = 0;
        float *scores = s->scores;
        for (; j + TILE <= c->n_clusters; j += TILE)
            add_products(panel, features, points + j * d, d, scores + j * PANEL, TILE);
        points += j * d, scores += j * PANEL;
        switch (c->n_clusters - j) {
        case 3: add_products(panel, features, points, d, scores, 3); break;
        case 2: add_products(panel, features, points, d, scores, 2); break;
        case 1: add_products(panel, features, points, d, scores, 1); break;
        }
    }
}

/* Find the first centroid whose score is within `margin` of the highest, how many are, and the
   lowest such score, of the rows of a vector. */
INLINE void choose(
    const float *restrict scores, int64_t n_clusters, float margin, int32_t *restrict chosen,
    int32_t *restrict candidates, float *restrict lowest)
{
    Lanes highest = *(const Lanes *)scores;
    for (int64_t j = 1; j < n_clusters; j++)
        highest = larger(highest, *(const Lanes *)(scores + j * PANEL));
    Lanes limit = highest - margin;
    Bits first = {0}, many = {0};
    for (int64_t j = n_clusters - 1; j >= 0; j--) {
        Bits near = *(const Lanes *)(scores + j * PANEL) >= limit;
        many -= near;
        first = (first & ~near) | (((Bits){0} + (int32_t)j) & near);
    }
    *(Bits *)chosen = first;
    *(Bits *)candidates = many;
    *(Lanes *)lowest = limit;
}

/* Return the first of the nearest centroids, of those whose score is not below `lowest`. */
static int32_t nearest(const Centroids *c, const float *row, const float *scores, float lowest)
{
    int32_t found = 0;
    double highest = -INFINITY;
    for (int64_t j = 0; j < c->n_clusters; j++) {
        if (scores[j * PANEL] < lowest) continue;
        double score = 0;
        for (int64_t f = 0; f < c->n_features; f++)
            score += (double)row[f] * (double)c->points[j * c->n_features + f];
        score -= c->halves[j];
        if (score > highest) highest = score, found = (int32_t)j;
    }
    return found;
}

/* Add the squares of FOLDS numbers, `size` apart, to each lane, and find the largest one. */
static void fold(const float *restrict x, int64_t size, double *restrict lanes, float *restrict peaks)
{
    for (int64_t i = 0; i < size; i++) {
        double squares = 0;
        float peak = 0;
#pragma GCC unroll 16 /* without it, clang does not vectorise the outer loop */
        for (int j = 0; j < FOLDS; j++) {
            float number = x[j * size + i], absolute = fabsf(number);
            squares += (double)number * (double)number;
            peak = absolute > peak ? absolute : peak;
        }
        lanes[i] += squares;
        peaks[i] = peak;
    }
}

static void largest_of(const float *restrict peaks, int64_t rows, int64_t d, float *restrict largest)
{
    memset(largest, 0, d * sizeof *largest);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t f = 0; f < d; f++) {
            float peak = peaks[i * d + f];
            largest[f] = peak > largest[f] ? peak : largest[f];
        }
}

/* Choose the units of a block's sums: 2^-38 of a power of two above its numbers. */
static void choose_units(const float *largest, int64_t d, double *offset)
{
    for (int64_t f = 0; f < d; f++) {
        int32_t bits;
        memcpy(&bits, largest + f, sizeof bits);
        Double power = {.bits = (uint64_t)((bits >> 23) - 126 + 14 + 1023) << 52};
        offset[f] = 1.5 * power.number;
    }
}

static float margin_of(const Centroids *c, const float *largest)
{
    double square = 0;
    for (int64_t f = 0; f < c->n_features; f++) square += (double)largest[f] * (double)largest[f];
    double smallest = (c->n_features + 4) * 0x1p-147; /* errors of products that underflow */
    double scores = (sqrt(square) + c->reach) * c->reach; /* above all of them */
    return scores < LARGE ? (float)(c->relative * scores + smallest) : INFINITY;
}

INLINE void add_row(
    const float *restrict row, const double *restrict offset, int64_t d, uint64_t *restrict units)
{
    for (int64_t f = 0; f < d; f++) units[f] += ((Double){row[f] + offset[f]}).bits;
}

/* Add the rows of a cluster in a block, whose numbers each have their `offset` in `units`. */
INLINE void sum_of(
    const uint64_t *restrict units, uint64_t count, const double *restrict offset, int64_t d,
    double *restrict sums)
{
    const Double integer = {0x1.8p52}; /* the bits of whole numbers follow its own */
    for (int64_t f = 0; f < d; f++) {
        Double whole = {.bits = units[f] - count * ((Double){offset[f]}).bits + integer.bits};
        sums[f] += (whole.number - integer.number) * (offset[f] * (0x1p-52 / 1.5));
    }
}

static void add_block(const Centroids *c, const Scratch *s, double *sums, int64_t *counts)
{
    int64_t d = c->n_features;
    for (int64_t j = 0; j < c->n_clusters; j++) {
        if (!s->counts[j]) continue;
        counts[j] += s->counts[j];
        sum_of(s->units + j * d, s->counts[j], s->offset, d, sums + j * d);
    }
}

/* Find the clusters of a block's rows, and sum the rows. `next` is read in advance. */
static void assign(
    const Centroids *c, const Scratch *s, const float *x, int64_t rows, const float *next,
    int32_t *clusters)
{
    int64_t d = c->n_features;
    float margin = margin_of(c, s->largest), lowest[PANEL];
    int32_t chosen[PANEL], candidates[PANEL];
    for (int64_t i = 0; i < rows; i += PANEL) {
        int64_t some = rows - i < PANEL ? rows - i : PANEL;
        for (int64_t f = 0; f < some * d; f += 16) __builtin_prefetch(next + i * d + f, 0, 2);
        transpose(x + i * d, some, d, s->panel);
        score(c, s);
        for (int w = 0; w < PANEL; w += LANES)
            choose(s->scores + w, c->n_clusters, margin, chosen + w, candidates + w, lowest + w);
        for (int64_t r = 0; r < some; r++) {
            const float *row = x + (i + r) * d;
            int32_t cluster = chosen[r];
            if (candidates[r] != 1 || margin == INFINITY) cluster = nearest(c, row, s->scores + r, lowest[r]);
            if (clusters) clusters[i + r] = cluster;
            s->counts[cluster]++;
            add_row(row, s->offset, d, s->units + cluster * d);
        }
    }
}

static void *take(char **memory, size_t size)
{
    void *taken = *memory;
    *memory += (size + 63) / 64 * 64;
    return taken;
}

/* Divide the memory, or return its size if there is none. */
static size_t divide(char *memory, int64_t block_rows, int64_t d, int64_t k, Scratch *s)
{
    char *end = memory;
    s->halves = take(&end, k * sizeof(float));
    s->rows = take(&end, block_rows * d * sizeof(float));
    s->panel = take(&end, PANEL * d * sizeof(float));
    s->scores = take(&end, PANEL * k * sizeof(float));
    s->peaks = take(&end, block_rows / FOLDS * d * sizeof(float));
    s->largest = take(&end, d * sizeof(float));
    s->offset = take(&end, d * sizeof(double));
    s->units = take(&end, k * d * sizeof(uint64_t));
    s->counts = take(&end, k * sizeof(int64_t));
    return (size_t)(end - memory);
}

/* Return the rows of a block: minus the origin, and with zeros after the last row. */
static const float *prepared(
    const float *x, int64_t rows, int64_t block_rows, int64_t d, const float *origin, float *to)
{
    if (!origin && rows == block_rows) return x;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t f = 0; f < d; f++) to[i * d + f] = origin ? x[i * d + f] - origin[f] : x[i * d + f];
    memset(to + rows * d, 0, (block_rows - rows) * d * sizeof *to);
    return to;
}

/* Add to `sums` (n_clusters, n_features), `counts` (n_clusters,) and `lanes` (block_rows / FOLDS,
   n_features), and write `clusters` (n_rows,) unless it is null. Return 0 if memory is short. */
int accumulate(
    const float *X, int64_t n_rows, int64_t block_rows, const float *origin, const float *points,
    const double *halves, int64_t n_clusters, int64_t n_features, double reach, double relative,
    int32_t *clusters, double *sums, int64_t *counts, double *lanes)
{
    Centroids c = {points, halves, n_clusters, n_features, reach, relative};
    int64_t d = n_features, lane_rows = block_rows / FOLDS;
    Scratch s;
    char *memory = malloc(divide(NULL, block_rows, d, n_clusters, &s));
    if (!memory) return 0;
    divide(memory, block_rows, d, n_clusters, &s);
    for (int64_t j = 0; j < n_clusters; j++) s.halves[j] = (float)halves[j];
    for (int64_t i = 0; i < n_rows; i += block_rows) {
        int64_t rows = n_rows - i < block_rows ? n_rows - i : block_rows;
        const float *x = prepared(X + i * d, rows, block_rows, d, origin, s.rows);
        memset(s.units, 0, n_clusters * d * sizeof *s.units);
        memset(s.counts, 0, n_clusters * sizeof *s.counts);
        fold(x, lane_rows * d, lanes, s.peaks);
        largest_of(s.peaks, lane_rows, d, s.largest);
        choose_units(s.largest, d, s.offset);
        assign(&c, &s, x, rows, X + (i + block_rows) * d, clusters ? clusters + i : NULL);
        add_block(&c, &s, sums, counts);
    }
    free(memory);
    return 1;
}
