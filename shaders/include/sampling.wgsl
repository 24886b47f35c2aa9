// Distributions from Philox 4x32-10, one number an element. A stream (seed, offset) belongs to one kernel, so all of
// its blocks may be used: samplers that reject take block (element, trial). Parameters out of range give NaN.

// More trials than any number needs: a trial is accepted with a probability above 1/2.
const TRIALS: u32 = 64u;

// Uniform in (0, 1), both ends excluded, on a grid of 2^-24.
fn unit_open(bits: u32) -> f32 {
    return (f32(bits >> 9u) + 0.5) * 1.1920929e-7;
}

// The exponential number -log u for the uniform u = (bits + 1/2)·2^-32: never 0, at most 22.9, exact at both ends.
fn unit_exponential(bits: u32) -> f32 {
    let upper = bits >= 0x80000000u;
    let v = (f32(select(bits, ~bits, upper)) + 0.5) * 2.3283064e-10;
    if upper {
        return -f_log1p(-v);
    }
    return -f_log(v);
}

// The sine or, a quarter turn ahead, the cosine of (bits + 1/2)·2^-32 turns.
fn unit_turn(bits: u32, ahead: u32) -> f32 {
    let quarter = (bits + 0x20000000u) >> 30u;
    let rest = bitcast<i32>(bits - (quarter << 30u));
    // π/2 · 2^-30
    return f_sin_turned(quarter + ahead, (f32(rest) + 0.5) * 1.4629181e-9, 0u);
}

// 64 bits of a block of two elements.
fn philox_pair(seed: I64, offset: I64, element: u32) -> vec2<u32> {
    let words = philox_block(seed, offset, element >> 1u);
    return select(words.xy, words.zw, (element & 1u) == 1u);
}

// Uniform in [0, range), where 0 stands for 2^64: the high half of 64 random bits times the range. Its bias of
// range/2^64 is spread over the whole range, where the one of a remainder lies in the low part.
fn i64_philox(seed: I64, offset: I64, element: u32, range: I64) -> I64 {
    let bits = philox_pair(seed, offset, element);
    return select(u64_mul_high(bits, range), bits, i64_iszero(range));
}

// Its low word.
fn i32_philox(seed: I64, offset: I64, element: u32, range: I64) -> i32 {
    return bitcast<i32>(i64_philox(seed, offset, element, range).x);
}

fn philox_exponential(seed: I64, offset: I64, element: u32) -> f32 {
    return unit_exponential(philox_bits(seed, offset, element));
}

// Box and Muller (1958): neighbours share a radius.
fn philox_normal(seed: I64, offset: I64, element: u32) -> f32 {
    let words = philox_block(seed, offset, element >> 2u);
    let pair = select(words.xy, words.zw, (element & 2u) == 2u);
    return sqrt(2.0 * unit_exponential(pair.x)) * unit_turn(pair.y, element & 1u);
}

// The cotangent of an angle in (0, π/2), which is folded at π/4, with a sign.
fn philox_cauchy(seed: I64, offset: I64, element: u32) -> f32 {
    let bits = philox_bits(seed, offset, element);
    let k = bits & 0x7fffffffu;
    let far = k >= 0x40000000u;
    // π · 2^-32
    let angle = (f32(select(k, 0x7fffffffu - k, far)) + 0.5) * 7.3145904e-10;
    let sine = f_sin_reduced(angle);
    let cosine = f_cos_reduced(angle);
    let size = select(cosine, sine, far) / select(sine, cosine, far);
    return select(size, -size, (bits >> 31u) == 1u);
}

// ln k! less Stirling's ½ ln 2πk + k ln k - k, for k >= 1.
fn stirling_error(k: f32) -> f32 {
    let z = 1.0 / (k * k);
    let series = (0.083333336 - z * (0.0027777778 - z * (0.00079365081 - z * 0.00059523812))) / k;
    return select(series, 0.08106147, k < 1.5);
}

// x ln(x/m) + m - x for positive numbers, without cancellation where they are close (Loader 2000).
fn deviance(x: f32, m: f32) -> f32 {
    let d = x - m;
    if abs(d) < 0.1 * (x + m) {
        let v = d / (x + m);
        let vv = v * v;
        return d * v + 2.0 * x * v * vv * (0.33333334 + vv * (0.2 + vv * (0.14285715 + vv * 0.11111111)));
    }
    return x * f_log(x / m) + (m - x);
}

// The logarithm of a Poisson probability by the saddle point, which keeps its digits for large rates (Loader 2000).
fn poisson_log_probability(k: f32, rate: f32) -> f32 {
    if k < 0.5 {
        return -rate;
    }
    return -stirling_error(k) - deviance(k, rate) - 0.5 * f_log(6.2831855 * k);
}

// How many uniform numbers can be multiplied until the product falls to e^-rate (Knuth), for rates below 10.
fn poisson_of_products(seed: I64, offset: I64, element: u32, rate: f32) -> f32 {
    let limit = f_exp(-rate);
    var product = 1.0;
    var count = 0.0;
    for (var trial = 0u; trial < TRIALS; trial++) {
        let words = philox_block_wide(seed, offset, vec2<u32>(element, trial));
        for (var k = 0u; k < 4u; k++) {
            product *= unit_open(words[k]);
            if product <= limit {
                return count;
            }
            count += 1.0;
        }
    }
    return count;
}

// Transformed rejection (Hörmann 1993, PTRS).
fn poisson_by_rejection(seed: I64, offset: I64, element: u32, rate: f32) -> f32 {
    let b = 0.931 + 2.53 * sqrt(rate);
    let a = -0.059 + 0.02483 * b;
    let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    let squeeze = 0.9277 - 3.6224 / (b - 2.0);
    for (var trial = 0u; trial < TRIALS; trial++) {
        let words = philox_block_wide(seed, offset, vec2<u32>(element, trial));
        let u = unit_open(words.x) - 0.5;
        let v = unit_open(words.y);
        let us = 0.5 - abs(u);
        let k = floor((2.0 * a / us + b) * u + rate + 0.43);
        if us >= 0.07 && v <= squeeze {
            return k;
        }
        if k < 0.0 || (us < 0.013 && v > us) {
            continue;
        }
        if f_log(v * inverse_alpha / (a / (us * us) + b)) <= poisson_log_probability(k, rate) {
            return k;
        }
    }
    return floor(rate);
}

fn philox_poisson(seed: I64, offset: I64, element: u32, rate: f32) -> f32 {
    if f_iszero(rate) || f_isposinf(rate) {
        return f_abs(rate);
    }
    if f_isnan(rate) || f_signbit(rate) {
        return f_nan();
    }
    if rate < 10.0 {
        return poisson_of_products(seed, offset, element, rate);
    }
    return poisson_by_rejection(seed, offset, element, rate);
}

// The gaps between successes, for few expected ones.
fn binomial_of_gaps(seed: I64, offset: I64, element: u32, n: f32, p: f32) -> f32 {
    let rate = -f_log1p(-p);
    var trials = 0.0;
    var count = 0.0;
    for (var trial = 0u; trial < TRIALS; trial++) {
        let words = philox_block_wide(seed, offset, vec2<u32>(element, trial));
        for (var k = 0u; k < 4u; k++) {
            trials += ceil(unit_exponential(words[k]) / rate);
            if trials > n {
                return count;
            }
            count += 1.0;
        }
    }
    return count;
}

// As poisson_log_probability, for 0 < p < 1.
fn binomial_log_probability(k: f32, n: f32, p: f32) -> f32 {
    let rest = n - k;
    if k < 0.5 {
        return n * f_log1p(-p);
    }
    if rest < 0.5 {
        return n * f_log(p);
    }
    let far = stirling_error(n) - stirling_error(k) - stirling_error(rest);
    return far - deviance(k, n * p) - deviance(rest, n * (1.0 - p)) + 0.5 * f_log(n / (6.2831855 * k) / rest);
}

// Transformed rejection (Hörmann 1993, BTRS), for p <= 1/2 and n·p >= 10.
fn binomial_by_rejection(seed: I64, offset: I64, element: u32, n: f32, p: f32) -> f32 {
    let deviation = sqrt(n * p * (1.0 - p));
    let b = 1.15 + 2.53 * deviation;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let squeeze = 0.92 - 4.2 / b;
    let alpha = (2.83 + 5.1 / b) * deviation;
    let mode = floor((n + 1.0) * p);
    let most = binomial_log_probability(mode, n, p);
    for (var trial = 0u; trial < TRIALS; trial++) {
        let words = philox_block_wide(seed, offset, vec2<u32>(element, trial));
        let u = unit_open(words.x) - 0.5;
        let v = unit_open(words.y);
        let us = 0.5 - abs(u);
        let k = floor((2.0 * a / us + b) * u + (n * p + 0.5));
        if us >= 0.07 && v <= squeeze {
            return k;
        }
        if k < 0.0 || k > n {
            continue;
        }
        if f_log(v * alpha / (a / (us * us) + b)) <= binomial_log_probability(k, n, p) - most {
            return k;
        }
    }
    return mode;
}

fn philox_binomial(seed: I64, offset: I64, element: u32, n: f32, p: f32) -> f32 {
    if f_unordered(n, p) {
        return f_nan();
    }
    if n <= 0.0 || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return n;
    }
    let rare = min(p, 1.0 - p);
    var count = 0.0;
    if n * rare < 10.0 {
        count = binomial_of_gaps(seed, offset, element, n, rare);
    } else {
        count = binomial_by_rejection(seed, offset, element, n, rare);
    }
    return select(count, n - count, p > 0.5);
}

// 1 - v + log v for v = (1 + t)^3, without cancellation for small t.
fn gamma_slack(t: f32) -> f32 {
    if t < -0.29 || t > 0.41 {
        let v = (1.0 + t) * (1.0 + t) * (1.0 + t);
        return 1.0 - v + 3.0 * f_log(1.0 + t);
    }
    return 3.0 * f_log1p_tail(t) - t * t * (3.0 + t);
}

// The standard gamma distribution (Marsaglia and Tsang 2000); a concentration below 1 by a power of a uniform number.
fn philox_gamma(seed: I64, offset: I64, element: u32, concentration: f32) -> f32 {
    if f_iszero(concentration) || f_isposinf(concentration) {
        return f_abs(concentration);
    }
    if f_isnan(concentration) || f_signbit(concentration) {
        return f_nan();
    }
    let small = concentration < 1.0;
    let d = select(concentration, concentration + 1.0, small) - 0.33333334;
    let c = 1.0 / (3.0 * sqrt(d));
    var scale = 1.0;
    for (var trial = 0u; trial < TRIALS; trial++) {
        let words = philox_block_wide(seed, offset, vec2<u32>(element, trial));
        if trial == 0u && small {
            scale = f_exp(-unit_exponential(words.w) / concentration);
        }
        let x = sqrt(2.0 * unit_exponential(words.x)) * unit_turn(words.y, 0u);
        let t = c * x;
        if t <= -1.0 {
            continue;
        }
        if unit_exponential(words.z) > -0.5 * x * x - d * gamma_slack(t) {
            return scale * (d * (1.0 + t) * (1.0 + t) * (1.0 + t));
        }
    }
    return scale * d;
}
