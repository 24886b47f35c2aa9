// The error functions, the gamma functions and the Bessel functions of f32. The CPU computes the rarer ones in f64; here
// they are minimax fits in f32. erf, erfc, erfinv, i0 and i1 are within 4 ulp. lgamma and digamma are within 4 ulp
// for positive arguments; for negative ones the error is a few ulp of the larger term of the reflection.

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

// erfc(a) for a >= 0.45: e^(-a²)/(1 + 2a) times a polynomial in (a - 3)/(a + 3), the map of Shepherd and Laframboise (1981).
fn f_erfc_tail(x: f32) -> f32 {
    let a = clamp(x, 0.45, 10.5);
    let u = f_div_middle(a - 3.0, a + 3.0);
    let high = 0.0683110207 + u * (-0.0236883946 + u * (0.00252008624 + u * (0.0017756843 + u * (-0.00072912639 + u * -9.48474844e-5))));
    let p = 1.25300801 + u * (-0.135621086 + u * (-0.0475603342 + u * (0.129644632 + u * (-0.119294353 + u * high))));
    // a² = top² + low, top² exact.
    let top = f_top(a);
    let low = (a - top) * (a + top);
    let n = round(-(top * top) * 1.442695);
    let e = f_exp_reduced(f_exp_rest(-(top * top), n) - low);
    return f_scale(f_div_middle(e * p, 1.0 + 2.0 * a) * 16.0, i32(n) - 4);
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
        let high = -4.95413315e-6 + t * (-3.47692821e-6 + t * (4.64264076e-7 + t * (2.42512943e-8 + t * -8.65836025e-9)));
        let middle = -0.00417750003 + t * (-0.00125275867 + t * (0.000218410496 + t * high));
        return x * (1.50140941 + t * (0.246640295 + t * middle));
    }
    let t = f_sqrt(w) - 3.0;
    let high = 0.00569066126 + t * (-0.00360254035 + t * (0.00147623988 + t * (-4.69986517e-5 + t * (-0.000302794186 + t * 0.000108937777))));
    return x * (2.83297682 + t * (1.00167489 + t * (0.00944476482 + t * (-0.00763616804 + t * high))));
}

// log Γ(1 + z) for |z| <= ½.
fn f_lgamma_near_one(z: f32) -> f32 {
    let high = -0.118300401 + z * (0.107949451 + z * (-0.0584847704 + z * (0.041991882 + z * (-0.143745676 + z * (0.170819178 + z * -0.048002746)))));
    let middle = -0.207426965 + z * (0.169587329 + z * (-0.143290266 + z * (0.124778129 + z * high)));
    return z * (-0.577215672 + z * (0.822467029 + z * (-0.400684655 + z * (0.2705805 + z * middle))));
}

// log Γ(2 + z) for |z| <= ½.
fn f_lgamma_near_two(z: f32) -> f32 {
    let high = -0.00739127491 + z * (0.0028853619 + z * (-0.00115849858 + z * (0.000537332089 + z * (-0.000302680535 + z * 5.66157469e-5))));
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
    // The factor x - x₀, with the zero in two parts, keeps the digits near it.
    let t = y - 1.5;
    let high = 0.0949976519 + t * (-0.0620556287 + t * (0.0407370068 + t * (-0.02578789 + t * (0.0175498184 + t * (-0.0163728222 + t * 0.0102902362)))));
    let p = 0.951055884 + t * (-0.423627496 + t * (0.24054192 + t * (-0.148398906 + t * high)));
    return ((y - 1.4616321) - 1.2438150e-8) * p + shift;
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
    return f_digamma_positive(1.0 - x) - f_div(3.1415927, f_tan(3.1415927 * (x - round(x))));
}

// n!/a^(n + 1)
fn f_polygamma_term(n: i32, a: f32) -> f32 {
    let reciprocal = f_div(1.0, a);
    var r = reciprocal;
    for (var k = 1; k <= n; k++) {
        r *= f_div(f32(k), a);
    }
    return r;
}

// n!·Σ (q + k)^-(n + 1) for q > 0: eight terms, and the Euler-Maclaurin formula for the rest.
fn f_polygamma_sum(n: i32, q: f32) -> f32 {
    if f_isinf(q) {
        return 0.0;
    }
    let a = q + 8.0;
    let power = f_polygamma_term(n, a);
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
    var sum = power * a / f32(n) + (0.5 * power + rest);
    // From the smallest on.
    for (var k = 7; k >= 0; k--) {
        sum += f_polygamma_term(n, q + f32(k));
    }
    return sum;
}

// The n-th derivative of digamma, n >= 0: (-1)^(n+1)·n!·ζ(n + 1, x). The error grows with n, by an ulp or two each.
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
        // Terms left of 0 by reflection.
        let fraction = x - floor(x);
        let left = f_polygamma_sum(order, 1.0 - fraction) - f_polygamma_sum(order, 1.0 - x);
        value = f_polygamma_sum(order, fraction) + select(left, -left, even);
    }
    return select(value, f_neg(value), even);
}

// e^a·p/√a for a >= 8, without the overflow of e^a.
fn f_bessel_tail(a: f32, p: f32) -> f32 {
    let b = clamp(a, 8.0, 100.0);
    let n = round(b * 1.442695);
    let e = f_exp_reduced(f_exp_rest(b, n));
    return f_scale(f_div_middle(e * p, f_sqrt(b)) * 4.0, i32(n) - 2);
}

// The modified Bessel functions of the first kind: a polynomial in x²/4 up to 8, in 1/x beyond.
fn f_i0(x: f32) -> f32 {
    let a = f_abs(x);
    if a <= 8.0 {
        let z = 0.25 * a * a;
        let high = 6.96200441e-5 + z * (1.89593368e-6 + z * (4.30055849e-8 + z * (3.86914334e-10 + z * 1.4894792e-11)));
        return 1.0 + z * (1.00000012 + z * (0.249999419 + z * (0.0277786124 + z * (0.0017355819 + z * high))));
    }
    let t = f_div(1.0, a);
    let p = 0.398942292 + t * (0.0498653315 + t * (0.0282194316 + t * (0.0239087865 + t * (0.130628392 + t * (-0.623272061 + t * (2.84845424 + t * -1.00307727))))));
    return select(f_bessel_tail(a, p), f_abs(x), f_isnan(x));
}

fn f_i1(x: f32) -> f32 {
    let a = f_abs(x);
    if a <= 8.0 {
        let z = 0.25 * a * a;
        let high = 1.15910143e-5 + z * (2.72425609e-7 + z * (5.2608442e-9 + z * (4.74069568e-11 + z * 1.41992483e-12)));
        return 0.5 * x * (1.0 + z * (0.5 + z * (0.0833332911 + z * (0.00694452086 + z * (0.00034717127 + z * high)))));
    }
    let t = f_div(1.0, a);
    let p = 0.398942292 + t * (-0.149605498 + t * (-0.0466420203 + t * (-0.0429541133 + t * (-0.0470307842 + t * (-0.0187053923 + t * -1.20780051)))));
    return select(f_copysign(f_bessel_tail(a, p), x), x, f_isnan(x));
}
