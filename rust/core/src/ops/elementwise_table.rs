//! The elementwise operators, one row each. A row is all there is to say about one: rule, documentation, CPU
//! expressions, WGSL expression and derivative. `op.rs` makes the enum from it, `ops/elementwise.rs` the public
//! functions and gradients, `cpu/elementwise.rs` the kernels.
//!
//! Row: `(Variant, "name", rule, (arguments), "doc", cpu { class: expression }, wgsl { f: "expression" }, grad)`.
//! * rule: how dtypes behave, see [`crate::op::Rule`].
//! * classes: `f` real floats (half types compute as f32 and round), `i` integers, `b` bool, `a` any by plain moves.
//!   A class that is missing is refused when the operator is recorded.
//! * wgsl: the same classes, over functions of `shaders/include`; `$` stands for `i32_` or `i64_`.
//! * grad: `none` (the output never requires grad), or `(g; saved values) [one expression per argument]`, an expression
//!   being `zero`-like when written `nil`. Saved values are arguments by name or `out`.

/// Hands every row to the macro `$callback`.
#[macro_export]
macro_rules! elementwise_table {
    ($callback:path) => { $callback! {
        // Moves.
        (Copy, "clone", same, (x), "A copy.", cpu { a: x }, wgsl { a: "x" }, grad (g;) [g.clone()])

        // Arithmetic.
        (Neg, "neg", same, (x), "−x.", cpu { f: -x, i: x.w_neg() }, wgsl { f: "f_neg(x)", i: "$neg(x)" }, grad (g;) [g.neg()?])
        (Abs, "abs", same, (x), "|x|.", cpu { f: x.abs(), i: x.w_abs() }, wgsl { f: "f_abs(x)", i: "$abs(x)" }, grad (g; x) [g.mul(&x.sign()?)?])
        (Sign, "sign", same, (x), "−1, 0 or 1 by the sign of x; 0 for NaN.", cpu { f: if x > T::ZERO { T::ONE } else if x < T::ZERO { -T::ONE } else { T::ZERO }, i: x.w_sign(), b: x }, wgsl { f: "f_sign(x)", i: "$sign(x)", b: "x" }, grad (g;) [zeros_like(g)?])
        (Reciprocal, "reciprocal", float, (x), "1 / x.", cpu { f: T::ONE / x }, wgsl { f: "f_div(1.0, x)" }, grad (g; out) [g.mul(&out.mul(out)?)?.neg()?])
        (Sqrt, "sqrt", float, (x), "Square root.", cpu { f: x.sqrt() }, wgsl { f: "f_sqrt(x)" }, grad (g; out) [g.div(&out.mul(2.0)?)?])
        (Rsqrt, "rsqrt", float, (x), "1 / √x.", cpu { f: T::ONE / x.sqrt() }, wgsl { f: "f_rsqrt(x)" }, grad (g; out) [g.mul(&out.mul(out)?.mul(out)?.mul(-0.5)?)?])
        (Add, "add", arith, (x, y), "x + y.", cpu { f: x + y, i: x.w_add(y), b: x | y }, wgsl { f: "x + y", i: "$add(x, y)", b: "x | y" }, grad (g;) [g.clone(), g.clone()])
        (Sub, "sub", arith, (x, y), "x − y.", cpu { f: x - y, i: x.w_sub(y) }, wgsl { f: "x - y", i: "$sub(x, y)" }, grad (g;) [g.clone(), g.neg()?])
        (Mul, "mul", arith, (x, y), "x · y.", cpu { f: x * y, i: x.w_mul(y), b: x & y }, wgsl { f: "x * y", i: "$mul(x, y)", b: "x & y" }, grad (g; x, y) [g.mul(y)?, g.mul(x)?])
        (Div, "div", quotient, (x, y), "x / y.", cpu { f: x / y }, wgsl { f: "f_div(x, y)" }, grad (g; x, y) [g.div(y)?, g.mul(&x.div(y)?.div(y)?.neg()?)?])
        (FloorDiv, "floor_divide", arith, (x, y), "⌊x / y⌋.", cpu { f: x.floor_div(y), i: x.floor_div(y) }, wgsl { f: "f_floor_divide(x, y)", i: "$floor_divide(x, y)" }, grad (g;) [no_derivative(g, "floor_divide")?, no_derivative(g, "floor_divide")?])
        (TruncDiv, "trunc_divide", arith, (x, y), "x / y rounded towards zero.", cpu { f: (x / y).trunc(), i: x.trunc_div(y) }, wgsl { f: "trunc(f_div(x, y))", i: "$trunc_divide(x, y)" }, grad (g;) [zeros_like(g)?, zeros_like(g)?])
        (Remainder, "remainder", arith, (x, y), "The remainder with the divisor's sign, as Python's %.", cpu { f: x.remainder(y), i: x.py_rem(y) }, wgsl { f: "f_remainder(x, y)", i: "$remainder(x, y)" }, grad (g; x, y) [g.clone(), g.mul(&x.div_floor(y)?.neg()?)?])
        (Fmod, "fmod", arith, (x, y), "The remainder with the dividend's sign, as C's fmod.", cpu { f: x.fmod(y), i: x.c_rem(y) }, wgsl { f: "f_fmod(x, y)", i: "$fmod(x, y)" }, grad (g; x, y) [g.clone(), g.mul(&x.div_trunc(y)?.neg()?)?])
        (Pow, "pow", arith, (x, y), "x to the power y.", cpu { f: x.pow::<S>(y), i: x.int_pow(y) }, wgsl { f: "f_pow(x, y)", i: "$pow(x, y)" },
            grad (g; x, y, out) [pow_grad_base(g, x, y)?, pow_grad_exponent(g, x, y, out)?])
        (Maximum, "maximum", arith, (x, y), "The larger; NaN wins.", cpu { f: max_nan(x, y), i: x.max(y), b: x | y }, wgsl { f: "f_maximum(x, y)", i: "$maximum(x, y)", b: "x | y" },
            grad (g; x, y) [extremum_grad(g, x, y, Ew::Gt)?, extremum_grad(g, y, x, Ew::Gt)?])
        (Minimum, "minimum", arith, (x, y), "The smaller; NaN wins.", cpu { f: min_nan(x, y), i: x.min(y), b: x & y }, wgsl { f: "f_minimum(x, y)", i: "$minimum(x, y)", b: "x & y" },
            grad (g; x, y) [extremum_grad(g, x, y, Ew::Lt)?, extremum_grad(g, y, x, Ew::Lt)?])
        (Fmax, "fmax", arith, (x, y), "The larger; a NaN gives the other.", cpu { f: if y.is_nan() || x >= y { x } else { y }, i: x.max(y), b: x | y }, wgsl { f: "f_fmax(x, y)", i: "$maximum(x, y)", b: "x | y" },
            grad (g; x, y) [g.masked_zero(&compare(Ew::Ge, x, y)?.logical_or(&y.isnan()?)?)?, g.zero_where(&compare(Ew::Ge, x, y)?.logical_or(&y.isnan()?)?)?])
        (Fmin, "fmin", arith, (x, y), "The smaller; a NaN gives the other.", cpu { f: if y.is_nan() || x <= y { x } else { y }, i: x.min(y), b: x & y }, wgsl { f: "f_fmin(x, y)", i: "$minimum(x, y)", b: "x & y" },
            grad (g; x, y) [g.masked_zero(&compare(Ew::Le, x, y)?.logical_or(&y.isnan()?)?)?, g.zero_where(&compare(Ew::Le, x, y)?.logical_or(&y.isnan()?)?)?])

        // Exponentials and logarithms.
        (Exp, "exp", float, (x), "e to the x.", cpu { f: x.exp::<S>() }, wgsl { f: "f_exp(x)" }, grad (g; out) [g.mul(out)?])
        (Exp2, "exp2", float, (x), "2 to the x.", cpu { f: x.exp2::<S>() }, wgsl { f: "f_exp2(x)" }, grad (g; out) [g.mul(out)?.mul(std::f64::consts::LN_2)?])
        (Expm1, "expm1", float, (x), "e to the x, minus 1, accurate near 0.", cpu { f: x.expm1::<S>() }, wgsl { f: "f_expm1(x)" }, grad (g; out) [g.mul(&out.add(1.0)?)?])
        (Log, "log", float, (x), "Natural logarithm.", cpu { f: x.log::<S>() }, wgsl { f: "f_log(x)" }, grad (g; x) [g.div(x)?])
        (Log2, "log2", float, (x), "Logarithm to base 2.", cpu { f: x.log2::<S>() }, wgsl { f: "f_log2(x)" }, grad (g; x) [g.div(&x.mul(std::f64::consts::LN_2)?)?])
        (Log10, "log10", float, (x), "Logarithm to base 10.", cpu { f: x.log10::<S>() }, wgsl { f: "f_log10(x)" }, grad (g; x) [g.div(&x.mul(std::f64::consts::LN_10)?)?])
        (Log1p, "log1p", float, (x), "log(1 + x), accurate near 0.", cpu { f: x.log1p::<S>() }, wgsl { f: "f_log1p(x)" }, grad (g; x) [g.div(&x.add(1.0)?)?])
        (LogAddExp, "logaddexp", quotient, (x, y), "log(eˣ + eʸ) without overflow.", cpu { f: x.logaddexp::<S>(y) }, wgsl { f: "f_logaddexp(x, y)" },
            grad (g; x, y) [g.mul(&x.sub(y)?.sigmoid()?)?, g.mul(&y.sub(x)?.sigmoid()?)?])
        (LogAddExp2, "logaddexp2", quotient, (x, y), "log₂(2ˣ + 2ʸ) without overflow.", cpu { f: logaddexp2::<T, S>(x, y) }, wgsl { f: "f_logaddexp2(x, y)" },
            grad (g; x, y) [g.div(&y.sub(x)?.exp2()?.add(1.0)?)?, g.div(&x.sub(y)?.exp2()?.add(1.0)?)?])
        (Xlogy, "xlogy", quotient, (x, y), "x · log y, 0 where x is 0.", cpu { f: if y.is_nan() { y } else if x == T::ZERO { T::ZERO } else { x * y.log::<S>() } }, wgsl { f: "f_xlogy(x, y)" },
            grad (g; x, y) [g.mul(&y.log()?)?.zero_where(&x.eq_zero()?.logical_and(&y.le_zero()?)?)?, g.mul(&x.div(y)?)?])

        (Ldexp, "ldexp", quotient, (x, y), "x · 2^y.", cpu { f: ldexp::<T, S>(x, y) }, wgsl { f: "f_ldexp(x, y)" },
            grad (g; y, out) [g.mul(&y.exp2()?)?, g.mul(out)?.mul(std::f64::consts::LN_2)?])

        // Trigonometry and hyperbolics.
        (Sin, "sin", float, (x), "Sine, in radians.", cpu { f: x.sin::<S>() }, wgsl { f: "f_sin(x)" }, grad (g; x) [g.mul(&x.cos()?)?])
        (Cos, "cos", float, (x), "Cosine, in radians.", cpu { f: x.cos::<S>() }, wgsl { f: "f_cos(x)" }, grad (g; x) [g.mul(&x.sin()?.neg()?)?])
        (Tan, "tan", float, (x), "Tangent, in radians.", cpu { f: x.tan::<S>() }, wgsl { f: "f_tan(x)" }, grad (g; out) [g.mul(&out.mul(out)?.add(1.0)?)?])
        (Asin, "asin", float, (x), "Inverse sine.", cpu { f: x.asin::<S>() }, wgsl { f: "f_asin(x)" }, grad (g; x) [g.mul(&one_minus_square(x)?.rsqrt()?)?])
        (Acos, "acos", float, (x), "Inverse cosine.", cpu { f: x.acos::<S>() }, wgsl { f: "f_acos(x)" }, grad (g; x) [g.mul(&one_minus_square(x)?.rsqrt()?.neg()?)?])
        (Atan, "atan", float, (x), "Inverse tangent.", cpu { f: x.atan::<S>() }, wgsl { f: "f_atan(x)" }, grad (g; x) [g.div(&x.mul(x)?.add(1.0)?)?])
        (Atan2, "atan2", quotient, (x, y), "The angle of the point (y, x).", cpu { f: x.atan2::<S>(y) }, wgsl { f: "f_atan2(x, y)" },
            grad (g; x, y) [g.mul(&atan2_slope(y, x)?)?, g.mul(&atan2_slope(&x.neg()?, y)?)?])
        (Sinh, "sinh", float, (x), "Hyperbolic sine.", cpu { f: x.sinh::<S>() }, wgsl { f: "f_sinh(x)" }, grad (g; x) [g.mul(&x.cosh()?)?])
        (Cosh, "cosh", float, (x), "Hyperbolic cosine.", cpu { f: x.cosh::<S>() }, wgsl { f: "f_cosh(x)" }, grad (g; x) [g.mul(&x.sinh()?)?])
        (Tanh, "tanh", float, (x), "Hyperbolic tangent.", cpu { f: x.tanh::<S>() }, wgsl { f: "f_tanh(x)" }, grad (g; out) [g.mul(&one_minus_square(out)?)?])
        (Asinh, "asinh", float, (x), "Inverse hyperbolic sine.", cpu { f: x.asinh::<S>() }, wgsl { f: "f_asinh(x)" }, grad (g; x) [g.mul(&x.mul(x)?.add(1.0)?.rsqrt()?)?])
        (Acosh, "acosh", float, (x), "Inverse hyperbolic cosine.", cpu { f: x.acosh::<S>() }, wgsl { f: "f_acosh(x)" }, grad (g; x) [g.mul(&acosh_slope(x)?)?])
        (Atanh, "atanh", float, (x), "Inverse hyperbolic tangent.", cpu { f: x.atanh::<S>() }, wgsl { f: "f_atanh(x)" }, grad (g; x) [g.div(&one_minus_square(x)?)?])
        (Hypot, "hypot", quotient, (x, y), "√(x² + y²) without overflow.", cpu { f: x.hypot::<S>(y) }, wgsl { f: "f_hypot(x, y)" }, grad (g; x, y, out) [g.mul(&x.div(out)?)?, g.mul(&y.div(out)?)?])

        // Special functions.
        (Erf, "erf", float, (x), "Error function.", cpu { f: x.erf::<S>() }, wgsl { f: "f_erf(x)" }, grad (g; x) [g.mul(&gauss(x)?)?])
        (Erfc, "erfc", float, (x), "1 − erf(x), accurate for large x.", cpu { f: x.erfc::<S>() }, wgsl { f: "f_erfc(x)" }, grad (g; x) [g.mul(&gauss(x)?)?.neg()?])
        (Erfinv, "erfinv", float, (x), "Inverse of erf.", cpu { f: x.erfinv::<S>() }, wgsl { f: "f_erfinv(x)" },
            grad (g; out) [g.mul(&out.mul(out)?.exp()?.mul(0.886_226_925_452_758)?)?])
        (Lgamma, "lgamma", float, (x), "log |Γ(x)|.", cpu { f: x.lgamma::<S>() }, wgsl { f: "f_lgamma(x)" }, grad (g; x) [g.mul(&x.digamma()?)?])
        (Digamma, "digamma", float, (x), "The derivative of lgamma.", cpu { f: x.digamma::<S>() }, wgsl { f: "f_digamma(x)" }, grad (g; x) [g.mul(&polygamma(x, 1.0.into())?)?])
        (Polygamma, "polygamma", float, (x, n), "The n-th derivative of digamma.", cpu { f: polygamma::<T, S>(x, n) }, wgsl { f: "f_polygamma(x, n)" }, grad (g; x, n) [g.mul(&polygamma(x, (&n.add(1.0)?).into())?)?, nil])
        (Igamma, "igamma", quotient, (x, y), "The regularised lower incomplete gamma function P(x, y).", cpu { f: T::from_f64(gamma::lower(x.to_f64(), y.to_f64())) }, wgsl { f: "f_igamma(x, y)" },
            grad (g; x, y) [no_derivative_of(g, "igamma: input")?, g.mul(&gamma_density(x, y)?)?])
        (Igammac, "igammac", quotient, (x, y), "The regularised upper incomplete gamma function Q(x, y) = 1 − P(x, y).", cpu { f: T::from_f64(gamma::upper(x.to_f64(), y.to_f64())) }, wgsl { f: "f_igammac(x, y)" },
            grad (g; x, y) [no_derivative_of(g, "igammac: input")?, g.mul(&gamma_density(x, y)?)?.neg()?])
        (I0, "i0", float, (x), "The modified Bessel function of order 0.", cpu { f: T::from_f64(bessel::i0(x.to_f64())) }, wgsl { f: "f_i0(x)" }, grad (g; x) [g.mul(&bessel_i1(x)?)?])
        (I1, "_special_i1", float, (x), "The modified Bessel function of order 1.", cpu { f: T::from_f64(bessel::i1(x.to_f64())) }, wgsl { f: "f_i1(x)" }, grad (g; x, out) [g.mul(&bessel_i1_slope(x, out)?)?])
        (Sigmoid, "sigmoid", float, (x), "1 / (1 + e⁻ˣ).", cpu { f: x.sigmoid::<S>() }, wgsl { f: "f_sigmoid(x)" }, grad (g; out) [g.mul(&out.mul(&out.rsub_one()?)?)?])
        (Logit, "logit", float, (x), "log(x / (1 − x)).", cpu { f: (x / (T::ONE - x)).log::<S>() }, wgsl { f: "f_log(f_div(x, 1.0 - x))" }, grad (g; x) [logit_grad(g, x)?])

        // Rounding and signs.
        (Floor, "floor", same, (x), "The largest integer not above x.", cpu { f: x.floor(), i: x }, wgsl { f: "floor(x)", i: "x" }, grad (g;) [zeros_like(g)?])
        (Ceil, "ceil", same, (x), "The smallest integer not below x.", cpu { f: x.ceil(), i: x }, wgsl { f: "ceil(x)", i: "x" }, grad (g;) [zeros_like(g)?])
        (Round, "round", same, (x), "The nearest integer, halves to even.", cpu { f: x.round(), i: x }, wgsl { f: "f_round(x)", i: "x" }, grad (g;) [zeros_like(g)?])
        (Trunc, "trunc", same, (x), "x without its fraction.", cpu { f: x.trunc(), i: x }, wgsl { f: "trunc(x)", i: "x" }, grad (g;) [zeros_like(g)?])
        (Copysign, "copysign", quotient, (x, y), "|x| with the sign of y.", cpu { f: x.copysign(y) }, wgsl { f: "f_copysign(x, y)" },
            grad (g; x, y) [copysign_grad(g, x, y)?, zeros_like(g)?])
        (Nextafter, "nextafter", arith, (x, y), "The next representable value from x towards y.", cpu { f: nextafter(x, y) }, wgsl { f: "f_nextafter(x, y)" }, grad (g; x, y) [g.masked_zero(&compare(Ew::Ne, x, y)?)?, zeros_like(g)?])
        (Heaviside, "heaviside", arith, (x, y), "0 below 0, 1 above, y at 0.", cpu { f: if x == T::ZERO { y } else if x > T::ZERO { T::ONE } else { T::ZERO }, i: if x == T::I0 { y } else if x < T::I0 { T::I0 } else { T::I1 }, b: x | y }, wgsl { f: "f_heaviside(x, y)", i: "$heaviside(x, y)", b: "x | y" }, grad (g;) [no_derivative(g, "heaviside")?, no_derivative(g, "heaviside")?])

        // Comparisons: the result is bool.
        (Eq, "eq", compare, (x, y), "x = y.", cpu { f: x == y, i: x == y, b: x == y }, wgsl { f: "f_eq(x, y)", i: "$eq(x, y)", b: "x == y" }, grad none)
        (Ne, "ne", compare, (x, y), "x ≠ y.", cpu { f: x != y, i: x != y, b: x != y }, wgsl { f: "f_ne(x, y)", i: "$ne(x, y)", b: "x != y" }, grad none)
        (Lt, "lt", compare, (x, y), "x < y.", cpu { f: x < y, i: x < y, b: x < y }, wgsl { f: "f_lt(x, y)", i: "$lt(x, y)", b: "!x & y" }, grad none)
        (Le, "le", compare, (x, y), "x ≤ y.", cpu { f: x <= y, i: x <= y, b: x <= y }, wgsl { f: "f_le(x, y)", i: "$le(x, y)", b: "!x | y" }, grad none)
        (Gt, "gt", compare, (x, y), "x > y.", cpu { f: x > y, i: x > y, b: x > y }, wgsl { f: "f_gt(x, y)", i: "$gt(x, y)", b: "x & !y" }, grad none)
        (Ge, "ge", compare, (x, y), "x ≥ y.", cpu { f: x >= y, i: x >= y, b: x >= y }, wgsl { f: "f_ge(x, y)", i: "$ge(x, y)", b: "x | !y" }, grad none)
        (IsNan, "isnan", test, (x), "Whether x is NaN.", cpu { f: x.is_nan(), i: false, b: false }, wgsl { f: "f_isnan(x)", i: "false", b: "false" }, grad none)
        (IsInf, "isinf", test, (x), "Whether x is infinite.", cpu { f: x.abs() == T::INFINITY, i: false, b: false }, wgsl { f: "f_isinf(x)", i: "false", b: "false" }, grad none)
        (IsFinite, "isfinite", test, (x), "Whether x is neither infinite nor NaN.", cpu { f: x.abs() < T::INFINITY, i: true, b: true }, wgsl { f: "f_isfinite(x)", i: "true", b: "true" }, grad none)
        (IsPosInf, "isposinf", test, (x), "Whether x is +∞.", cpu { f: x == T::INFINITY, i: false, b: false }, wgsl { f: "f_isposinf(x)", i: "false", b: "false" }, grad none)
        (IsNegInf, "isneginf", test, (x), "Whether x is −∞.", cpu { f: x == -T::INFINITY, i: false, b: false }, wgsl { f: "f_isneginf(x)", i: "false", b: "false" }, grad none)
        (Signbit, "signbit", test, (x), "Whether the sign bit is set.", cpu { f: sign_bit(x), i: x < T::I0, b: false }, wgsl { f: "f_signbit(x)", i: "$signbit(x)", b: "false" }, grad none)

        // Logic and bits.
        (LogicalNot, "logical_not", test, (x), "Whether x is zero.", cpu { f: x == T::ZERO, i: x == T::I0, b: !x }, wgsl { f: "f_iszero(x)", i: "$iszero(x)", b: "!x" }, grad none)
        (LogicalAnd, "logical_and", logic, (x, y), "Whether both are non-zero.", cpu { b: x & y }, wgsl { b: "x & y" }, grad none)
        (LogicalOr, "logical_or", logic, (x, y), "Whether one is non-zero.", cpu { b: x | y }, wgsl { b: "x | y" }, grad none)
        (LogicalXor, "logical_xor", logic, (x, y), "Whether exactly one is non-zero.", cpu { b: x ^ y }, wgsl { b: "x != y" }, grad none)
        (BitwiseNot, "bitwise_not", bits, (x), "Every bit flipped.", cpu { i: !x, b: !x }, wgsl { i: "$bitwise_not(x)", b: "!x" }, grad none)
        (BitwiseAnd, "bitwise_and", bits, (x, y), "Bitwise and.", cpu { i: x & y, b: x & y }, wgsl { i: "$bitwise_and(x, y)", b: "x & y" }, grad none)
        (BitwiseOr, "bitwise_or", bits, (x, y), "Bitwise or.", cpu { i: x | y, b: x | y }, wgsl { i: "$bitwise_or(x, y)", b: "x | y" }, grad none)
        (BitwiseXor, "bitwise_xor", bits, (x, y), "Bitwise exclusive or.", cpu { i: x ^ y, b: x ^ y }, wgsl { i: "$bitwise_xor(x, y)", b: "x != y" }, grad none)
        (Shl, "bitwise_left_shift", integers, (x, y), "x shifted left by y bits.", cpu { i: x.shift_left(y) }, wgsl { i: "$bitwise_left_shift(x, y)" }, grad none)
        (Shr, "bitwise_right_shift", integers, (x, y), "x shifted right by y bits, keeping the sign.", cpu { i: x.shift_right(y) }, wgsl { i: "$bitwise_right_shift(x, y)" }, grad none)
        (Gcd, "gcd", integers, (x, y), "Greatest common divisor.", cpu { i: x.gcd(y) }, wgsl { i: "$gcd(x, y)" }, grad none)
        (Lcm, "lcm", integers, (x, y), "Least common multiple.", cpu { i: x.lcm(y) }, wgsl { i: "$lcm(x, y)" }, grad none)

        // Selection and interpolation.
        (Where, "where", select, (c, x, y), "x where c holds, else y.", cpu { a: select(c, x, y) }, wgsl { a: "select(y, x, c)" },
            grad (g; c) [nil, g.masked_zero(c)?, g.zero_where(&c)?])
        (Clamp, "clamp", arith, (x, y, z), "x limited to the range from y to z.", cpu { f: min_nan(max_nan(x, y), z), i: x.max(y).min(z) }, wgsl { f: "f_clamp(x, y, z)", i: "$clamp(x, y, z)" },
            grad (g; x, y, z) [g.masked_zero(&x.ge(y)?.logical_and(&x.le(z)?)?)?, g.masked_zero(&x.lt(y)?.logical_and(&y.lt(z)?)?)?, g.masked_zero(&x.gt(z)?.logical_or(&y.gt(z)?)?)?])
        (Lerp, "lerp", arith, (x, y, z), "x + z · (y − x).", cpu { f: if z.abs() < T::HALF { x + z * (y - x) } else { y - (y - x) * (T::ONE - z) } }, wgsl { f: "f_lerp(x, y, z)" },
            grad (g; x, y, z) [g.mul(&z.rsub_one()?)?, g.mul(z)?, g.mul(&y.sub(x)?)?])
        (Addcmul, "addcmul", arith, (x, y, z, v), "x + v · y · z.", cpu { f: x + v * y * z, i: x.w_add(v.w_mul(y).w_mul(z)) }, wgsl { f: "x + v * y * z", i: "$add(x, $mul($mul(v, y), z))" },
            grad (g; y, z, v) [g.clone(), g.mul(z)?.mul(v)?, g.mul(y)?.mul(v)?, nil])
        (Addcdiv, "addcdiv", arith, (x, y, z, v), "x + v · y / z.", cpu { f: x + v * y / z }, wgsl { f: "x + f_div(v * y, z)" },
            grad (g; y, z, v) [g.clone(), g.mul(v)?.div(z)?, g.mul(v)?.mul(y)?.div(&z.mul(z)?)?.neg()?, nil])
        (NanToNum, "nan_to_num", arith, (x, n, p, m), "x with NaN, +∞ and −∞ replaced.", cpu { f: if x.is_nan() { n } else if x == T::INFINITY { p } else if x == -T::INFINITY { m } else { x } }, wgsl { f: "f_nan_to_num(x, n, p, m)" },
            grad (g; x) [g.masked_zero(&x.isfinite()?)?, nil, nil, nil])

        // Activations.
        (Relu, "relu", same, (x), "max(x, 0).", cpu { f: if x < T::ZERO { T::ZERO } else { x }, i: x.max(T::I0) }, wgsl { f: "f_relu(x)", i: "$relu(x)" }, grad (g; out) [g.zero_where(&out.le_zero()?)?])
        (Gelu, "gelu", floats, (x), "x · Φ(x), the Gaussian error linear unit.", cpu { f: x.gelu::<S>() }, wgsl { f: "f_gelu(x)" }, grad (g; x) [g.mul(&gelu_slope(x)?)?])
        (GeluTanh, "gelu_tanh", floats, (x), "The tanh approximation of gelu.", cpu { f: x.gelu_tanh::<S>() }, wgsl { f: "f_gelu_tanh(x)" }, grad (g; x) [g.mul(&gelu_tanh_slope(x)?)?])
        (Silu, "silu", floats, (x), "x · sigmoid(x).", cpu { f: x * x.sigmoid::<S>() }, wgsl { f: "x * f_sigmoid(x)" }, grad (g; x) [g.mul(&silu_slope(x)?)?])
        (Mish, "mish", floats, (x), "x · tanh(softplus(x)).", cpu { f: x.mish::<S>() }, wgsl { f: "f_mish(x)" }, grad (g; x) [g.mul(&mish_slope(x)?)?])
        (Softplus, "softplus", floats, (x, b, t), "log(1 + e^(b·x)) / b, and x itself where b·x exceeds t.", cpu { f: if x * b > t { x } else { (x * b).exp::<S>().log1p::<S>() / b } }, wgsl { f: "f_softplus(x, b, t)" }, grad (g; x, b, t) [softplus_grad(g, x, b, t)?, nil, nil])
        (LogSigmoid, "logsigmoid", floats, (x), "log(sigmoid(x)).", cpu { f: (if x < T::ZERO { x } else { T::ZERO }) - (-x.abs()).exp::<S>().log1p::<S>() }, wgsl { f: "f_logsigmoid(x)" }, grad (g; x) [g.mul(&x.neg()?.sigmoid()?)?])
        (Elu, "elu", floats, (x, a, s, k), "s·x above 0, s·a·(e^(k·x) − 1) below.", cpu { f: if x > T::ZERO { x * s } else { (x * k).expm1::<S>() * a * s } }, wgsl { f: "f_elu(x, a, s, k)" }, grad (g; x, a, s, k) [elu_grad(g, x, a, s, k)?, nil, nil, nil])
        (Hardtanh, "hardtanh", same, (x, a, b), "x limited to the range from a to b.", cpu { f: min_nan(max_nan(x, a), b), i: x.max(a).min(b) }, wgsl { f: "f_clamp(x, a, b)", i: "$clamp(x, a, b)" }, grad (g; x, a, b) [g.masked_zero(&x.gt(a)?.logical_and(&x.lt(b)?)?)?, nil, nil])
        (LeakyRelu, "leaky_relu", floats, (x, s), "x above 0, s·x below.", cpu { f: if x > T::ZERO { x } else { x * s } }, wgsl { f: "f_leaky_relu(x, s)" }, grad (g; x, s) [where_(&x.gt(0.0)?, g, &g.mul(s)?)?, nil])
        (Prelu, "_prelu_kernel", floats, (x, w), "x above 0, w·x below.", cpu { f: if x > T::ZERO { x } else { x * w } }, wgsl { f: "f_leaky_relu(x, w)" },
            grad (g; x, w) [where_(&x.gt(0.0)?, g, &g.mul(w)?)?, g.mul(x)?.zero_where(&x.gt(0.0)?)?])
        (Hardswish, "hardswish", floats, (x), "x · clamp(x + 3, 0, 6) / 6.", cpu { f: x * min_nan(max_nan(x + T::from_f64(3.0), T::ZERO), T::from_f64(6.0)) / T::from_f64(6.0) }, wgsl { f: "f_hardswish(x)" }, grad (g; x) [hardswish_grad(g, x)?])
        (Hardsigmoid, "hardsigmoid", floats, (x), "clamp(x + 3, 0, 6) / 6.", cpu { f: min_nan(max_nan(x + T::from_f64(3.0), T::ZERO), T::from_f64(6.0)) / T::from_f64(6.0) }, wgsl { f: "f_hardsigmoid(x)" }, grad (g; x) [g.mul(1.0 / 6.0)?.masked_zero(&x.gt(-3.0)?.logical_and(&x.lt(3.0)?)?)?])
        (Hardshrink, "hardshrink", floats, (x, l), "x outside [−l, l], else 0.", cpu { f: if x >= -l && x <= l { T::ZERO } else { x } }, wgsl { f: "f_hardshrink(x, l)" }, grad (g; x, l) [g.masked_zero(&x.abs()?.gt(l)?)?, nil])
        (Softshrink, "softshrink", floats, (x, l), "x moved towards 0 by l.", cpu { f: if x > l { x - l } else if x < -l { x + l } else if x.is_nan() { x } else { T::ZERO } }, wgsl { f: "f_softshrink(x, l)" }, grad (g; x, l) [g.masked_zero(&x.abs()?.gt(l)?)?, nil])
        (Threshold, "threshold", same, (x, t, v), "x above t, else v.", cpu { f: if x <= t { v } else { x }, i: if x <= t { v } else { x } }, wgsl { f: "f_threshold(x, t, v)", i: "$threshold(x, t, v)" }, grad (g; x, t) [g.zero_where(&x.le(t)?)?, nil, nil])

        // Counter-based random numbers: (seed, offset, index) gives the same value on every device.
        (Philox, "philox_uniform", floats, (s, o), "Uniform in [0, 1) by Philox 4x32-10 from a seed and an offset, one draw an element.", cpu { }, wgsl { f: "philox_uniform(s, o, element)" }, grad none)
        // What the tensors of a GPU are drawn from; the CPU draws in sequence (`exec/draw.rs`).
        (PhiloxInteger, "philox_integer", integers, (s, o, r), "The low bits of uniform integers in [0, r), 0 standing for 2⁶⁴.", cpu { }, wgsl { i: "$philox(s, o, element, r)" }, grad none)
        (PhiloxExponential, "philox_exponential", floats, (s, o), "Exponential numbers of rate 1.", cpu { }, wgsl { f: "philox_exponential(s, o, element)" }, grad none)
        (PhiloxNormal, "philox_normal", floats, (s, o), "Standard normal numbers.", cpu { }, wgsl { f: "philox_normal(s, o, element)" }, grad none)
        (PhiloxCauchy, "philox_cauchy", floats, (s, o), "Standard Cauchy numbers.", cpu { }, wgsl { f: "philox_cauchy(s, o, element)" }, grad none)
        (PhiloxPoisson, "philox_poisson", floats, (s, o, r), "Poisson counts of rate r.", cpu { }, wgsl { f: "philox_poisson(s, o, element, r)" }, grad none)
        (PhiloxBinomial, "philox_binomial", floats, (s, o, n, p), "Successes among n trials of probability p.", cpu { }, wgsl { f: "philox_binomial(s, o, element, n, p)" }, grad none)
        (PhiloxGamma, "philox_gamma", floats, (s, o, a), "Gamma numbers of concentration a and scale 1.", cpu { }, wgsl { f: "philox_gamma(s, o, element, a)" }, grad none)
    } };
}
