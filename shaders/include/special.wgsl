// The error functions, the gamma functions and the Bessel functions of f32. The CPU computes the rarer ones in f64;
// here they are minimax fits in f32. erf, erfc, erfinv, i0 and i1 are within 4 ulp. lgamma and digamma are within 4 ulp
// for positive arguments; for negative ones the error is 4 ulp of the larger term of the reflection or of 1, which
// shows near the zeros. polygamma is within 6 + n ulp for positive arguments.

fn f_erf(x: f32) -> f32 {
    // Beyond 4 the result is 1 to the last bit.
    let a = clamp(f_abs(x), 0.0, 4.0);
    let z = a * a;
    let high = -0.026853347 + z * (0.005187162 + z * (-0.0007997852 + z * 7.806891e-5));
    let small = a + a * (0.12837917 + z * (-0.37612626 + z * (0.11283579 + z * high)));
    // -log erfc(a) on [1, 4].
    let tail = 0.1033269 + a * (-0.021940151 + a * (0.00297235 + a * -0.0001888112));
    let g = 0.00030046544 + a * (1.1272513 + a * (0.6378835 + a * tail));
    let r = select(1.0 - f_exp(-g), small, a < 1.0);
    return select(f_copysign(r, x), x, f_isnan(x));
}

// erfc(a) for a >= 0.45: e^(-a²)/(1 + 2a) times a polynomial in (a - 3)/(a + 3), the map of Shepherd and Laframboise
// (1981).
fn f_erfc_tail(x: f32) -> f32 {
    let a = clamp(x, 0.45, 10.5);
    let u = f_div_middle(a - 3.0, a + 3.0);
    let last = 0.00252008624 + u * (0.0017756843 + u * (-0.00072912639 + u * -9.48474844e-5));
    let high = 0.0683110207 + u * (-0.0236883946 + u * last);
    let p = 1.25300801 + u * (-0.135621086 + u * (-0.0475603342 + u * (0.129644632 + u * (-0.119294353 + u * high))));
    // a² = top² + low, top² exact.
    let top = f_top(a);
    let low = (a - top) * (a + top);
    let n = round(-(top * top) * 1.442695);
    let r = f_exp_rest(-(top * top), n) - low;
    let q = f_div_middle(p, 1.0 + 2.0 * a);
    return f_scale((q + q * (r + r * r * f_exp_tail(r))) * 16.0, i32(n) - 4);
}

fn f_erfc(x: f32) -> f32 {
    if f_isnan(x) {
        return x;
    }
    let a = f_abs(x);
    if a < 0.5 {
        return 1.0 - f_erf(x);
    }
    let tail = f_erfc_tail(a);
    return select(tail, 2.0 - tail, f_signbit(x));
}

// With the central and the outer range in the variable of Giles, Approximating the erfinv function (2012).
fn f_erfinv(x: f32) -> f32 {
    let a = f_abs(x);
    if !(a < 1.0) {
        return select(f_nan(), f_copysign(f_inf(), x), a == 1.0);
    }
    let w = -f_log((1.0 - a) * (1.0 + a));
    if w < 5.0 {
        let t = w - 2.5;
        let last = 4.64264076e-7 + t * (2.42512943e-8 + t * -8.65836025e-9);
        let high = -4.95413315e-6 + t * (-3.47692821e-6 + t * last);
        let middle = -0.00417750003 + t * (-0.00125275867 + t * (0.000218410496 + t * high));
        return x * (1.50140941 + t * (0.246640295 + t * middle));
    }
    let t = f_sqrt(w) - 3.0;
    let last = 0.00147623988 + t * (-4.69986517e-5 + t * (-0.000302794186 + t * 0.000108937777));
    let high = 0.00569066126 + t * (-0.00360254035 + t * last);
    return x * (2.83297682 + t * (1.00167489 + t * (0.00944476482 + t * (-0.00763616804 + t * high))));
}

// log Γ(1 + z) for |z| <= ½.
fn f_lgamma_near_one(z: f32) -> f32 {
    let last = 0.041991882 + z * (-0.143745676 + z * (0.170819178 + z * -0.048002746));
    let high = -0.118300401 + z * (0.107949451 + z * (-0.0584847704 + z * last));
    let middle = -0.207426965 + z * (0.169587329 + z * (-0.143290266 + z * (0.124778129 + z * high)));
    let r = z * (-0.577215672 + z * (0.822467029 + z * (-0.400684655 + z * (0.2705805 + z * middle))));
    return select(r, 0.0, z == 0.0);
}

// log Γ(2 + z) for |z| <= ½.
fn f_lgamma_near_two(z: f32) -> f32 {
    let last = -0.00115849858 + z * (0.000537332089 + z * (-0.000302680535 + z * 5.66157469e-5));
    let high = -0.00739127491 + z * (0.0028853619 + z * last);
    return z * (0.422784328 + z * (0.322467029 + z * (-0.0673519298 + z * (0.0205811337 + z * high))));
}

// log Γ(x) for x > 0.
fn f_lgamma_positive(x: f32) -> f32 {
    if x < 0.5 {
        return f_lgamma_near_one(x) - f_log(x);
    }
    if x < 1.5 {
        return f_lgamma_near_one(x - 1.0);
    }
    if x < 9.0 {
        var y = x;
        var product = 1.0;
        while y > 2.5 {
            y -= 1.0;
            product *= y;
        }
        return f_lgamma_near_two(y - 2.0) + f_log(product);
    }
    // Stirling's series.
    let i = 1.0 / x;
    let z = i * i;
    let series = 0.083333336 - z * (0.0027777778 - z * (0.0007936508 - z * 0.0005952381));
    return (x - 0.5) * (f_log(x) - 1.0) + (0.41893854 + series * i);
}

// |sin πx| for the distance of x from the nearest integer.
fn f_sin_pi(distance: f32) -> f32 {
    return select(f_cos_reduced(3.1415927 * (0.5 - distance)), f_sin_reduced(3.1415927 * distance), distance < 0.25);
}

fn f_lgamma(x: f32) -> f32 {
    if f_isnan(x) {
        return x;
    }
    if f_isinf(x) || (x <= 0.0 && floor(x) == x) {
        return f_inf();
    }
    if x > 0.0 {
        return f_lgamma_positive(x);
    }
    if x > -0.5 {
        return f_lgamma_near_one(x) - f_log(-x);
    }
    // Γ(x)·Γ(1 - x) = π/sin πx
    let sine = f_sin_pi(f_abs(x - round(x)));
    return f_log(3.1415927 / sine) - f_lgamma_positive(1.0 - x);
}

// The derivative of log Γ for x > 0.
fn f_digamma_positive(x: f32) -> f32 {
    if x >= 6.0 {
        let i = f_div(1.0, x);
        let z = i * i;
        let series = z * (0.083333336 - z * (0.008333334 - z * (0.003968254 - z * 0.004166667)));
        return f_log(x) - (0.5 * i + series);
    }
    // ψ(x + 1) = ψ(x) + 1/x brings x into [1, 2].
    var y = x;
    var shift = 0.0;
    if x < 1.0 {
        y = x + 1.0;
        shift = -f_div(1.0, x);
    }
    while y > 2.0 {
        y -= 1.0;
        shift += f_div_middle(1.0, y);
    }
    // The factor x - x₀ keeps the digits near the zero x₀. Its second part, 1.2438150e-8, times ψ' there is a term of
    // its own, since a compiler may join two constants that are subtracted one after the other.
    let t = y - 1.5;
    let last = -0.02578789 + t * (0.0175498184 + t * (-0.0163728222 + t * 0.0102902362));
    let high = 0.0949976519 + t * (-0.0620556287 + t * (0.0407370068 + t * last));
    let p = 0.951055884 + t * (-0.423627496 + t * (0.24054192 + t * (-0.148398906 + t * high)));
    return ((y - 1.4616321) * p - 1.2036053e-8) + shift;
}

// cot πd for 0 < |d| <= ½.
fn f_cot_pi(d: f32) -> f32 {
    let a = f_abs(d);
    let far = a > 0.25;
    let r = 3.1415927 * select(a, 0.5 - a, far);
    let s = f_sin_reduced(r);
    let c = f_cos_reduced(r);
    return f_copysign(f_div(select(c, s, far), select(s, c, far)), d);
}

// NaN at the negative poles, ∓∞ at ±0, as in PyTorch.
fn f_digamma(x: f32) -> f32 {
    if f_iszero(x) {
        return f_copysign(f_inf(), f_neg(x));
    }
    if f_isnan(x) || f_isposinf(x) {
        return x;
    }
    if x > 0.0 {
        return f_digamma_positive(x);
    }
    if f_isinf(x) || floor(x) == x {
        return f_nan();
    }
    // ψ(1 - x) - ψ(x) = π·cot πx
    return f_digamma_positive(1.0 - x) - 3.1415927 * f_cot_pi(x - round(x));
}

// n!/a^n
fn f_polygamma_power(n: i32, a: f32) -> f32 {
    var r = 1.0;
    for (var k = 1; k <= n; k++) {
        r *= f_div(f32(k), a);
    }
    return r;
}

// n!·Σ (q + k)^-(n + 1) for q > 0, n!/q^(n + 1) being the first term: up to eight, and the
// Euler-Maclaurin formula for the rest.
fn f_polygamma_sum(n: i32, q: f32) -> f32 {
    if f_isinf(q) {
        return 0.0;
    }
    // Far out the formula alone suffices.
    let terms = select(8, 0, q > 16.0 + 2.0 * f32(n));
    let a = q + f32(terms);
    let lead = f_polygamma_power(n, a);
    let power = lead / a;
    let s = f32(n + 1);
    let square = a * a;
    // s (s + 1) … (s + 2k)/a^(s + 2k + 1), times B₂ₖ/(2k)!
    var factor = s * power / a;
    var rest = factor * 0.083333336;
    factor *= (s + 1.0) * (s + 2.0) / square;
    rest -= factor * 0.0013888889;
    factor *= (s + 3.0) * (s + 4.0) / square;
    rest += factor * 3.3068784e-5;
    factor *= (s + 5.0) * (s + 6.0) / square;
    rest -= factor * 8.2671958e-7;
    factor *= (s + 7.0) * (s + 8.0) / square;
    rest += factor * 2.0876757e-8;
    var sum = f_div(lead, f32(n)) + (0.5 * power + rest);
    // From the smallest on.
    for (var k = terms - 1; k >= 0; k--) {
        let b = q + f32(k);
        sum += f_div(f_polygamma_power(n, b), b);
    }
    return sum;
}

// The n-th derivative of digamma, n >= 0: (-1)^(n+1)·n!·ζ(n + 1, x).
fn f_polygamma(x: f32, n: f32) -> f32 {
    if f_iszero(n) {
        return f_digamma(x);
    }
    if f_isnan(x) || f_isneginf(x) {
        return f_nan();
    }
    let order = i32(clamp(n, 1.0, 1000.0));
    let even = (order & 1) == 0;
    var value = f_inf();
    if x > 0.0 {
        value = f_polygamma_sum(order, x);
    } else if floor(x) != x {
        // The term of the nearest integer, those right of it, and by reflection those left of it.
        let d = x - round(x);
        let left = f_polygamma_sum(order, 1.0 - d) - f_polygamma_sum(order, 1.0 - x);
        let right = f_polygamma_sum(order, 1.0 + d);
        value = f_div(f_polygamma_power(order, d), d) + (right + select(left, -left, even));
    }
    return select(value, f_neg(value), even);
}

// m - log(1 + m), without cancellation near 0.
fn f_log1p_excess(m: f32) -> f32 {
    if f_abs(m) > 0.3 {
        return m - f_log1p(m);
    }
    let w = f_div_middle(m, 2.0 + m);
    let z = w * w;
    return w * (m - 2.0 * z * (0.33333334 + z * (0.2 + z * (0.14285715 + z * (0.11111111 + z * 0.09090909)))));
}

// x^a·e^-x/Γ(a + 1)
fn f_igamma_front(a: f32, x: f32) -> f32 {
    if a < 10.0 {
        return f_exp(a * f_log(x) - x - f_lgamma(a + 1.0));
    }
    let i = f_div(1.0, a);
    let rest = i * (0.083333336 - i * i * 0.0027777778);
    return f_div(f_exp(-a * f_log1p_excess(f_div(x - a, a)) - rest), f_sqrt(6.2831855 * a));
}

// Σ xⁿ/((a + 1)…(a + n))
fn f_igamma_series(a: f32, x: f32) -> f32 {
    var term = 1.0;
    var sum = 1.0;
    for (var k = 1; k < 1000 && term > sum * 2e-8; k++) {
        term *= f_div(x, a + f32(k));
        sum += term;
    }
    return sum;
}

// The continued fraction of Q for x >= a + 1, by Lentz's method.
fn f_igamma_fraction(a: f32, x: f32) -> f32 {
    var b = x + 1.0 - a;
    var d = f_div(1.0, b);
    var c = 1e30;
    var h = d;
    for (var k = 1; k < 1000; k++) {
        let numerator = f32(k) * (a - f32(k));
        b += 2.0;
        d = f_div(1.0, numerator * d + b);
        c = b + f_div(numerator, c);
        h *= c * d;
        if f_abs(c * d - 1.0) < 6e-8 {
            break;
        }
    }
    return h;
}

// Q for small arguments: 1 - x^a/Γ(1 + a)·(1 + a·Σ (-x)ⁿ/(n!·(a + n))).
fn f_igammac_near_zero(a: f32, x: f32) -> f32 {
    var power = -x;
    var sum = 0.0;
    for (var n = 1; n < 16; n++) {
        sum += f_div(power, a + f32(n));
        power *= -f_div(x, f32(n + 1));
    }
    let exponent = a * f_log(x) - f_lgamma_near_one_or_two(a);
    return -f_expm1(exponent) - f_exp(exponent) * a * sum;
}

// log Γ(1 + a) for 0 < a < 1
fn f_lgamma_near_one_or_two(a: f32) -> f32 {
    if a < 0.5 {
        return f_lgamma_near_one(a);
    }
    return f_lgamma_near_two(a - 1.0);
}

// Q for large a, or P with the sign -1: Temme's uniform expansion (1979), two terms of which suffice from 1000 on.
fn f_igamma_uniform(a: f32, x: f32, sign: f32) -> f32 {
    let mu = f_div(x - a, a);
    let excess = f_log1p_excess(mu);
    let eta = f_copysign(f_sqrt(2.0 * excess), mu);
    let first = 0.083333336 + eta * (-0.014814815 + eta * (0.0011574074 + eta * 0.00035273369));
    let correction = -0.33333334 + eta * first - f_div(0.0018518519, a);
    let density = f_div(f_exp(-a * excess), f_sqrt(6.2831855 * a));
    return 0.5 * f_erfc(sign * eta * f_sqrt(0.5 * a)) + sign * density * correction;
}

// P or Q where it is a limit or NaN; 2 elsewhere.
fn f_igamma_edge(a: f32, x: f32) -> f32 {
    if f_isnan(a) || f_isnan(x) || a < 0.0 || x < 0.0 || (f_iszero(a) && f_iszero(x)) || (f_isinf(a) && f_isinf(x)) {
        return f_nan();
    }
    if f_iszero(x) || f_isinf(a) {
        return 0.0;
    }
    return select(2.0, 1.0, f_iszero(a) || f_isinf(x));
}

// The regularised lower incomplete gamma function.
fn f_igamma(a: f32, x: f32) -> f32 {
    let edge = f_igamma_edge(a, x);
    if !(edge == 2.0) {
        return edge;
    }
    if a > 1000.0 && f_abs(x - a) < 0.3 * a {
        return f_igamma_uniform(a, x, -1.0);
    }
    if x < a + 1.0 {
        return f_igamma_front(a, x) * f_igamma_series(a, x);
    }
    return 1.0 - f_igamma_front(a, x) * a * f_igamma_fraction(a, x);
}

// The regularised upper incomplete gamma function.
fn f_igammac(a: f32, x: f32) -> f32 {
    let edge = f_igamma_edge(a, x);
    if !(edge == 2.0) {
        return 1.0 - edge;
    }
    if a > 1000.0 && f_abs(x - a) < 0.3 * a {
        return f_igamma_uniform(a, x, 1.0);
    }
    if x >= a + 1.0 {
        return f_igamma_front(a, x) * a * f_igamma_fraction(a, x);
    }
    if a < 1.0 && x <= 1.1 {
        return f_igammac_near_zero(a, x);
    }
    return 1.0 - f_igamma_front(a, x) * f_igamma_series(a, x);
}

// e^a·p/√a for a >= 5, without the overflow of e^a; NaN for infinity, as in PyTorch.
fn f_bessel_tail(a: f32, p: f32) -> f32 {
    if !f_isfinite(a) {
        return f_nan();
    }
    let b = clamp(a, 5.0, 100.0);
    let n = round(b * 1.442695);
    let r = f_exp_rest(b, n);
    let q = f_div_middle(p, f_sqrt(b));
    return f_scale((q + q * (r + r * r * f_exp_tail(r))) * 4.0, i32(n) - 2);
}

// The modified Bessel functions of the first kind: a polynomial in x²/4 up to 5, in 1/x beyond.
fn f_i0(x: f32) -> f32 {
    let a = f_abs(x);
    if a <= 5.0 {
        let z = 0.25 * a * a;
        let high = 0.00173432892 + z * (7.01668614e-5 + z * (1.77404149e-6 + z * 5.57800597e-8));
        return 1.0 + z * (1.00000024 + z * (0.249998704 + z * (0.0277800374 + z * high)));
    }
    let t = f_div(1.0, a);
    let high = 0.434381723 + t * (-3.53245974 + t * (16.5900288 + t * -26.4407539));
    let p = 0.398942292 + t * (0.0498620719 + t * (0.0286137033 + t * (0.00781789981 + t * high)));
    return f_bessel_tail(a, p);
}

fn f_i1(x: f32) -> f32 {
    let a = f_abs(x);
    if a <= 5.0 {
        let z = 0.25 * a * a;
        let high = 0.000346965913 + z * (1.16687197e-5 + z * (2.566793e-7 + z * 6.81362522e-9));
        return 0.5 * x * (1.0 + z * (0.50000006 + z * (0.0833330825 + z * (0.00694481237 + z * high))));
    }
    let t = f_div(1.0, a);
    let high = -0.0581674017 + t * (-0.640855014 + t * (8.42381859 + t * (-53.4253883 + t * 103.18998)));
    let p = 0.398942292 + t * (-0.149604306 + t * (-0.0467567444 + t * (-0.0399158448 + t * high)));
    return f_copysign(f_bessel_tail(a, p), x);
}
