// The floor: the same training step in C with vector types, for one network's sizes, on one core.
//
// What a careful hand reaches for this network on this machine, and nothing else: the sizes are
// fixed, nothing is checked, only float32. Other loops are measured by their ratio to this one.
//
//   cc -O3 -march=native -shared -fPIC -o floor.so floor.c -lm
//
// Hidden units are the rows of everything: W1 is kept transposed, and an activation is [HIDDEN][N],
// one example a lane. So all six matrix products have one form (scalars against rows of vectors),
// batchnorm sums over the lanes of a row, softmax over rows, and only dlogits [VOCAB][N] and the
// embedded letters [FEAT][N] are needed the other way round too.
#include <math.h>
#include <string.h>
#include <time.h>

enum { N = 32, BLOCK = 3, EMBD = 10, HIDDEN = 200, VOCAB = 27, FEAT = BLOCK * EMBD };
enum { ROW = 32 };  // floats in a row of any matrix: N, or FEAT or VOCAB filled up with zeros

// Rows of a product computed together, so that their sums stay in registers: each divides its size.
#ifdef __AVX512F__
enum { LANES = 16, OF_HIDDEN = 8, OF_VOCAB = 9, OF_FEAT = 10 };
#else
enum { LANES = 8, OF_HIDDEN = 2, OF_VOCAB = 3, OF_FEAT = 3 };
#endif
enum { VECS = ROW / LANES };

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int ivec __attribute__((vector_size(4 * LANES)));
typedef union { float x[ROW]; vec v[VECS]; } row;

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

typedef struct {
    float C[VOCAB][EMBD], W1[FEAT][HIDDEN], b1[HIDDEN], W2[HIDDEN][VOCAB], b2[VOCAB];
    float gain[HIDDEN], bias[HIDDEN];
} Params;

typedef struct {
    float C[VOCAB][EMBD], b1[HIDDEN], b2[VOCAB], gain[HIDDEN], bias[HIDDEN];
    row W1[HIDDEN], W2[HIDDEN];                       // [HIDDEN][FEAT], [HIDDEN][VOCAB]
    row emb[N], embT[FEAT], bnraw[HIDDEN], h[HIDDEN];  // hidden activations are [HIDDEN][N]
    row dlogits[N], dlogitsT[VOCAB], dhprebn[HIDDEN];
    float bnvar_inv[HIDDEN], dC[VOCAB][EMBD];
} State;

INLINE vec all(float x) { return x - (vec){0}; }

INLINE vec larger(vec x, vec y) {
    ivec x_is = x > y;
    return (vec)((x_is & (ivec)x) | (~x_is & (ivec)y));
}

INLINE float sum_lanes(vec x) {
    ivec lane;
    for (int i = 0; i < LANES; i++) lane[i] = i;
    UNROLL for (int half = LANES / 2; half; half /= 2) x += __builtin_shuffle(x, lane ^ half);
    return x[0];
}

INLINE float sum_row(const vec *x) {
    vec s = x[0];
    UNROLL for (int v = 1; v < VECS; v++) s += x[v];
    return sum_lanes(s);
}

INLINE vec exponential(vec x) {  // 2^k e^f, |f| <= log(2)/2: Taylor, within 2 ulp; |x| <= 87
    const float c[] = {1 / 720.f, 1 / 120.f, 1 / 24.f, 1 / 6.f, 0.5f, 1, 1};
    x = -larger(-larger(x, all(-87)), all(-87));
    vec k = (x * all(1.44269504f) + all(12582912)) - all(12582912);
    vec f = x - k * all(0.693359375f) - k * all(-2.12194440e-4f), p = all(1 / 5040.f);
    UNROLL for (int i = 0; i < 7; i++) p = p * f + all(c[i]);
    return p * (vec)((__builtin_convertvector(k, ivec) + 127) << 23);
}

INLINE vec hyperbolic_tangent(vec x) {  // 1 - 2 / (e^2x + 1), absolute error 1e-7
    return all(1) - all(2) / (exponential(x + x) + all(1));
}

// out[r] += sum_k a[r * ar + k * ak] * b[k] for a few rows r
INLINE void product(vec out[][VECS], int rows, const float *a, int ar, int ak, const row *b, int K) {
    for (int k = 0; k < K; k++)
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < VECS; v++) out[r][v] += all(a[r * ar + k * ak]) * b[k].v[v];
}

INLINE void forward_hidden(State *s, int j) {  // linear, batchnorm, tanh: OF_HIDDEN rows from j
    vec x[OF_HIDDEN][VECS];
    UNROLL for (int r = 0; r < OF_HIDDEN; r++)
        UNROLL for (int v = 0; v < VECS; v++) x[r][v] = all(s->b1[j + r]);
    product(x, OF_HIDDEN, s->W1[j].x, ROW, 1, s->embT, FEAT);
    float mean[OF_HIDDEN], var[OF_HIDDEN], *inv = s->bnvar_inv + j;
    UNROLL for (int r = 0; r < OF_HIDDEN; r++) mean[r] = sum_row(x[r]) / N;
    UNROLL for (int r = 0; r < OF_HIDDEN; r++) {
        vec square[VECS];
        UNROLL for (int v = 0; v < VECS; v++) {
            x[r][v] -= all(mean[r]);
            square[v] = x[r][v] * x[r][v];
        }
        var[r] = sum_row(square) / (N - 1);
    }
    UNROLL for (int r = 0; r < OF_HIDDEN; r++) inv[r] = 1 / sqrtf(var[r] + 1e-5f);
    UNROLL for (int r = 0; r < OF_HIDDEN; r++) {
        vec *bnraw = s->bnraw[j + r].v, *h = s->h[j + r].v;
        UNROLL for (int v = 0; v < VECS; v++) {
            bnraw[v] = x[r][v] * all(inv[r]);
            h[v] = hyperbolic_tangent(all(s->gain[j + r]) * bnraw[v] + all(s->bias[j + r]));
        }
    }
}

INLINE float cross_entropy(State *s, const int *Yb, float lr) {  // and its gradient, and b2's update
    row *z = s->dlogitsT;
    for (int c = 0; c < VOCAB; c += OF_VOCAB) {
        vec out[OF_VOCAB][VECS];
        UNROLL for (int r = 0; r < OF_VOCAB; r++)
            UNROLL for (int v = 0; v < VECS; v++) out[r][v] = all(s->b2[c + r]);
        product(out, OF_VOCAB, &s->W2[0].x[c], 1, ROW, s->h, HIDDEN);
        memcpy(z[c].v, out, sizeof out);
    }
    row max = z[0], sum = {{0}};
    float loss = 0;
    for (int c = 1; c < VOCAB; c++)
        UNROLL for (int v = 0; v < VECS; v++)
            max.v[v] = larger(z[c].v[v], max.v[v]);
    for (int i = 0; i < N; i++) loss += max.x[i] - z[Yb[i]].x[i];
    for (int c = 0; c < VOCAB; c++)
        UNROLL for (int v = 0; v < VECS; v++) {
            z[c].v[v] = exponential(z[c].v[v] - max.v[v]);
            sum.v[v] += z[c].v[v];
        }
    for (int i = 0; i < N; i++) loss += logf(sum.x[i]);
    UNROLL for (int v = 0; v < VECS; v++) sum.v[v] = all(1.f / N) / sum.v[v];
    for (int c = 0; c < VOCAB; c++)
        UNROLL for (int v = 0; v < VECS; v++) z[c].v[v] *= sum.v[v];
    for (int i = 0; i < N; i++) z[Yb[i]].x[i] -= 1.f / N;
    for (int c = 0; c < VOCAB; c++) {
        s->b2[c] -= lr * sum_row(z[c].v);
        UNROLL for (int i = 0; i < N; i++) s->dlogits[i].x[c] = z[c].x[i];
    }
    return loss / N;
}

INLINE void update(row *W, int j, const row *left, const row *right, float lr) {
    vec dW[OF_HIDDEN][VECS] = {0};  // OF_HIDDEN rows of a weight's gradient, and its update
    product(dW, OF_HIDDEN, left[j].x, ROW, 1, right, N);
    UNROLL for (int r = 0; r < OF_HIDDEN; r++)
        UNROLL for (int v = 0; v < VECS; v++) W[j + r].v[v] -= all(lr) * dW[r][v];
}

INLINE void backward_hidden(State *s, int j, float lr) {  // to dhprebn: OF_HIDDEN rows from j
    vec g[OF_HIDDEN][VECS] = {0};
    product(g, OF_HIDDEN, s->W2[j].x, ROW, 1, s->dlogitsT, VOCAB);
    float dgain[OF_HIDDEN], dbias[OF_HIDDEN], db1[OF_HIDDEN];
    UNROLL for (int r = 0; r < OF_HIDDEN; r++) {
        vec *bnraw = s->bnraw[j + r].v, *h = s->h[j + r].v, weighted[VECS];
        UNROLL for (int v = 0; v < VECS; v++) {
            g[r][v] *= all(1) - h[v] * h[v];
            weighted[v] = g[r][v] * bnraw[v];
        }
        dbias[r] = sum_row(g[r]);
        dgain[r] = sum_row(weighted);
    }
    UNROLL for (int r = 0; r < OF_HIDDEN; r++) {
        vec *bnraw = s->bnraw[j + r].v, scale = all(s->gain[j + r] * s->bnvar_inv[j + r]);
        UNROLL for (int v = 0; v < VECS; v++)
            s->dhprebn[j + r].v[v] = g[r][v] =
                scale * (g[r][v] - all(dbias[r] / N) - all(dgain[r] / (N - 1)) * bnraw[v]);
        db1[r] = sum_row(g[r]);
    }
    UNROLL for (int r = 0; r < OF_HIDDEN; r++) {
        s->gain[j + r] -= lr * dgain[r];
        s->bias[j + r] -= lr * dbias[r];
        s->b1[j + r] -= lr * db1[r];
    }
}

INLINE void update_embedding(State *s, const int (*X)[BLOCK], const int *ix, float lr) {
    memset(s->dC, 0, sizeof s->dC);
    for (int k = 0; k < FEAT; k += OF_FEAT) {
        vec out[OF_FEAT][VECS] = {0};
        product(out, OF_FEAT, &s->W1[0].x[k], 1, ROW, s->dhprebn, HIDDEN);
        row demb[OF_FEAT];
        memcpy(demb, out, sizeof out);
        for (int r = 0; r < OF_FEAT; r++)
            for (int i = 0; i < N; i++)
                s->dC[X[ix[i]][(k + r) / EMBD]][(k + r) % EMBD] += demb[r].x[i];
    }
    for (int c = 0; c < VOCAB; c++)
        for (int e = 0; e < EMBD; e++) s->C[c][e] -= lr * s->dC[c][e];
}

static float step(State *s, const int (*X)[BLOCK], const int *Y, const int *ix, float lr) {
    int Yb[N];
    for (int i = 0; i < N; i++) {
        Yb[i] = Y[ix[i]];
        for (int b = 0; b < BLOCK; b++)
            for (int e = 0; e < EMBD; e++)
                s->emb[i].x[b * EMBD + e] = s->embT[b * EMBD + e].x[i] = s->C[X[ix[i]][b]][e];
    }
    for (int j = 0; j < HIDDEN; j += OF_HIDDEN) forward_hidden(s, j);
    float loss = cross_entropy(s, Yb, lr);
    for (int j = 0; j < HIDDEN; j += OF_HIDDEN) {
        backward_hidden(s, j, lr);
        update(s->W2, j, s->h, s->dlogits, lr);
    }
    update_embedding(s, X, ix, lr);
    for (int j = 0; j < HIDDEN; j += OF_HIDDEN) update(s->W1, j, s->dhprebn, s->emb, lr);
    return loss;
}

// Train for some steps, in place; losses[i] is the loss before step i.
void train(Params *p, const int (*X)[BLOCK], const int *Y, const int (*ix)[N], const float *lr,
           int steps, float *losses) {
    static State s;
    memset(&s, 0, sizeof s);
    memcpy(s.C, p->C, sizeof s.C);
    memcpy(s.b1, p->b1, sizeof s.b1);
    memcpy(s.b2, p->b2, sizeof s.b2);
    memcpy(s.gain, p->gain, sizeof s.gain);
    memcpy(s.bias, p->bias, sizeof s.bias);
    for (int j = 0; j < HIDDEN; j++) {
        for (int k = 0; k < FEAT; k++) s.W1[j].x[k] = p->W1[k][j];
        memcpy(s.W2[j].x, p->W2[j], sizeof p->W2[j]);
    }
    for (int i = 0; i < steps; i++) losses[i] = step(&s, X, Y, ix[i], lr[i]);
    memcpy(p->C, s.C, sizeof s.C);
    memcpy(p->b1, s.b1, sizeof s.b1);
    memcpy(p->b2, s.b2, sizeof s.b2);
    memcpy(p->gain, s.gain, sizeof s.gain);
    memcpy(p->bias, s.bias, sizeof s.bias);
    for (int j = 0; j < HIDDEN; j++) {
        for (int k = 0; k < FEAT; k++) p->W1[k][j] = s.W1[j].x[k];
        memcpy(p->W2[j], s.W2[j].x, sizeof p->W2[j]);
    }
}

// The most float operations a second that one core does: fused multiply-adds, nothing to wait for.
double peak(int rounds) {
    vec sums[12], x = all(0.999f), y = all(0.001f);
    struct timespec start, end;
    UNROLL for (int i = 0; i < 12; i++) sums[i] = all(i);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    for (int k = 0; k < rounds; k++)
        UNROLL for (int i = 0; i < 12; i++) sums[i] = sums[i] * x + y;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    UNROLL for (int i = 1; i < 12; i++) sums[0] += sums[i];
    volatile float used = sum_lanes(sums[0]);
    (void)used;
    return 2.0 * 12 * LANES * rounds / (end.tv_sec - start.tv_sec + 1e-9 * (end.tv_nsec - start.tv_nsec));
}
