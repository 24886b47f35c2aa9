//! Functions of a complex number in terms of its parts. Formulas for the inverse functions: W. Kahan, "Branch cuts for complex
//! elementary functions" (1987); branch cuts lie where C99 puts them.

use crate::error::Result;
use crate::op::Ew;
use crate::ops::elementwise::{Operand, apply, where_};
use crate::tensor::Tensor;
use std::f64::consts::{LN_2, LN_10};

/// The parts of one complex tensor.
#[derive(Clone)]
pub struct Z {
    pub re: Tensor,
    pub im: Tensor,
}

fn two(op: Ew, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    apply(op, &[x.into(), y.into()])
}

fn hypot(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    two(Ew::Hypot, x, y)
}

fn atan2(y: &Tensor, x: &Tensor) -> Result<Tensor> {
    two(Ew::Atan2, y, x)
}

fn asinh(x: &Tensor) -> Result<Tensor> {
    apply(Ew::Asinh, &[x.into()])
}

fn copysign(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    two(Ew::Copysign, x, y)
}

fn choose<'a>(c: &Tensor, x: impl Into<Operand<'a>>, y: impl Into<Operand<'a>>) -> Result<Tensor> {
    apply(Ew::Where, &[c.into(), x.into(), y.into()])
}

impl Z {
    pub fn add(&self, other: &Z) -> Result<Z> {
        Ok(Z { re: self.re.add(&other.re)?, im: self.im.add(&other.im)? })
    }

    pub fn neg(&self) -> Result<Z> {
        Ok(Z { re: self.re.neg()?, im: self.im.neg()? })
    }

    pub fn mul(&self, other: &Z) -> Result<Z> {
        let (a, b, c, d) = (&self.re, &self.im, &other.re, &other.im);
        Ok(Z { re: a.mul(c)?.sub(&b.mul(d)?)?, im: a.mul(d)?.add(&b.mul(c)?)? })
    }

    /// Both parts times a real number.
    pub fn scale<'a>(&'a self, factor: impl Into<Operand<'a>>) -> Result<Z> {
        let factor = factor.into();
        Ok(Z { re: self.re.mul(factor)?, im: self.im.mul(factor)? })
    }

    /// The parts over the larger one, s, and |z|²/s: what division needs of a divisor.
    fn shrunk(&self) -> Result<(Tensor, Tensor, Tensor)> {
        let size = two(Ew::Maximum, &self.re.abs()?, &self.im.abs()?)?;
        let (c, d) = (self.re.div(&size)?, self.im.div(&size)?);
        let whole = self.re.mul(&c)?.add(&self.im.mul(&d)?)?;
        Ok((c, d, whole))
    }

    /// The quotient, with the divisor brought to size 1 first so that its square neither overflows nor vanishes.
    pub fn div(&self, other: &Z) -> Result<Z> {
        let (c, d, whole) = other.shrunk()?;
        let (a, b) = (&self.re, &self.im);
        let re = a.mul(&c)?.add(&b.mul(&d)?)?.div(&whole)?;
        let im = b.mul(&c)?.sub(&a.mul(&d)?)?.div(&whole)?;
        Ok(Z { re, im })
    }

    pub fn reciprocal(&self) -> Result<Z> {
        let (c, d, whole) = self.shrunk()?;
        Ok(Z { re: c.div(&whole)?, im: d.neg()?.div(&whole)? })
    }

    /// i·z.
    fn turned(&self) -> Result<Z> {
        Ok(Z { re: self.im.neg()?, im: self.re.clone() })
    }

    /// −i·z.
    fn turned_back(&self) -> Result<Z> {
        Ok(Z { re: self.im.clone(), im: self.re.neg()? })
    }

    fn plus(&self, x: f64) -> Result<Z> {
        Ok(Z { re: self.re.add(x)?, im: self.im.clone() })
    }

    pub fn exp(&self) -> Result<Z> {
        let size = self.re.exp()?;
        // A real number stays one, also where its exponential is infinite.
        let im = choose(&self.im.eq_zero()?, &self.im, &size.mul(&self.im.sin()?)?)?;
        Ok(Z { re: size.mul(&self.im.cos()?)?, im })
    }

    pub fn exp2(&self) -> Result<Z> {
        self.scale(LN_2)?.exp()
    }

    pub fn expm1(&self) -> Result<Z> {
        let half = self.im.mul(0.5)?.sin()?;
        let grown = apply(Ew::Expm1, &[(&self.re).into()])?;
        let re = grown.mul(&self.im.cos()?)?.sub(&half.mul(&half)?.mul(2.0)?)?;
        Ok(Z { re, im: self.re.exp()?.mul(&self.im.sin()?)? })
    }

    pub fn log(&self) -> Result<Z> {
        Ok(Z { re: hypot(&self.re, &self.im)?.log()?, im: atan2(&self.im, &self.re)? })
    }

    pub fn log2(&self) -> Result<Z> {
        self.log()?.scale(1.0 / LN_2)
    }

    pub fn log10(&self) -> Result<Z> {
        self.log()?.scale(1.0 / LN_10)
    }

    pub fn log1p(&self) -> Result<Z> {
        let (a, b) = (&self.re, &self.im);
        // |1 + z|² − 1, without the 1.
        let more = a.mul(&a.add(2.0)?)?.add(&b.mul(b)?)?;
        let near = more.log1p()?.mul(0.5)?;
        let next = a.add(1.0)?;
        let far = hypot(&next, b)?.log()?;
        Ok(Z { re: where_(&more.abs()?.lt(0.5)?, &near, &far)?, im: atan2(b, &next)? })
    }

    pub fn sqrt(&self) -> Result<Z> {
        let (a, b) = (&self.re, &self.im);
        let t = hypot(a, b)?.mul(0.5)?.add(&a.abs()?.mul(0.5)?)?.sqrt()?;
        let other = b.abs()?.div(&t.mul(2.0)?)?.zero_where(&t.eq_zero()?)?;
        let right = a.ge(0.0)?;
        Ok(Z { re: where_(&right, &t, &other)?, im: copysign(&where_(&right, &other, &t)?, b)? })
    }

    pub fn rsqrt(&self) -> Result<Z> {
        self.sqrt()?.reciprocal()
    }

    pub fn sin(&self) -> Result<Z> {
        let (a, b) = (&self.re, &self.im);
        Ok(Z { re: a.sin()?.mul(&b.cosh()?)?, im: a.cos()?.mul(&b.sinh()?)? })
    }

    pub fn cos(&self) -> Result<Z> {
        let (a, b) = (&self.re, &self.im);
        Ok(Z { re: a.cos()?.mul(&b.cosh()?)?, im: a.sin()?.mul(&b.sinh()?)?.neg()? })
    }

    pub fn sinh(&self) -> Result<Z> {
        let (a, b) = (&self.re, &self.im);
        Ok(Z { re: a.sinh()?.mul(&b.cos()?)?, im: a.cosh()?.mul(&b.sin()?)? })
    }

    pub fn cosh(&self) -> Result<Z> {
        let (a, b) = (&self.re, &self.im);
        Ok(Z { re: a.cosh()?.mul(&b.cos()?)?, im: a.sinh()?.mul(&b.sin()?)? })
    }

    pub fn tanh(&self) -> Result<Z> {
        let (a, b) = (&self.re, &self.im);
        // sinh a overflows beyond; there the real part is ±1 and the imaginary one is all but 0.
        let large = a.abs()?.gt(20.0)?;
        let s = a.zero_where(&large)?.sinh()?;
        let t = apply(Ew::Tan, &[b.into()])?;
        let beta = t.mul(&t)?.add(1.0)?;
        let rho = s.mul(&s)?.add(1.0)?.sqrt()?;
        let whole = beta.mul(&s)?.mul(&s)?.add(1.0)?;
        let tail = b.sin()?.mul(&b.cos()?)?.mul(4.0)?.mul(&a.abs()?.mul(-2.0)?.exp()?)?;
        let sign = copysign(&a.mul(0.0)?.add(1.0)?, a)?;
        let re = where_(&large, &sign, &beta.mul(&rho)?.mul(&s)?.div(&whole)?)?;
        Ok(Z { re, im: where_(&large, &tail, &t.div(&whole)?)? })
    }

    pub fn tan(&self) -> Result<Z> {
        self.turned()?.tanh()?.turned_back()
    }

    /// √(1 − z) and √(1 + z).
    fn roots(&self) -> Result<(Z, Z)> {
        Ok((self.neg()?.plus(1.0)?.sqrt()?, self.plus(1.0)?.sqrt()?))
    }

    pub fn asin(&self) -> Result<Z> {
        let (m, p) = self.roots()?;
        let re = atan2(&self.re, &m.re.mul(&p.re)?.sub(&m.im.mul(&p.im)?)?)?;
        Ok(Z { re, im: asinh(&m.re.mul(&p.im)?.sub(&m.im.mul(&p.re)?)?)? })
    }

    pub fn acos(&self) -> Result<Z> {
        let (m, p) = self.roots()?;
        let re = atan2(&m.re, &p.re)?.mul(2.0)?;
        Ok(Z { re, im: asinh(&p.re.mul(&m.im)?.sub(&p.im.mul(&m.re)?)?)? })
    }

    pub fn asinh(&self) -> Result<Z> {
        self.turned()?.asin()?.turned_back()
    }

    pub fn acosh(&self) -> Result<Z> {
        let (m, p) = (self.plus(-1.0)?.sqrt()?, self.plus(1.0)?.sqrt()?);
        let re = asinh(&m.re.mul(&p.re)?.add(&m.im.mul(&p.im)?)?)?;
        Ok(Z { re, im: atan2(&m.im, &p.re)?.mul(2.0)? })
    }

    pub fn atanh(&self) -> Result<Z> {
        let (a, b) = (self.re.abs()?, &self.im);
        let square = b.mul(b)?;
        let rest = apply(Ew::Sub, &[1.0.into(), (&a).into()])?;
        let ratio = a.mul(4.0)?.div(&rest.mul(&rest)?.add(&square)?)?;
        let re = copysign(&ratio.log1p()?.mul(0.25)?, &self.re)?;
        let im = atan2(&b.mul(2.0)?, &rest.mul(&a.add(1.0)?)?.sub(&square)?)?.mul(0.5)?;
        Ok(Z { re, im })
    }

    pub fn atan(&self) -> Result<Z> {
        self.turned()?.atanh()?.turned_back()
    }

    pub fn sigmoid(&self) -> Result<Z> {
        // Of the two forms that in which the exponential is at most 1.
        let right = self.re.ge(0.0)?;
        let small = Z { re: self.re.abs()?.neg()?, im: where_(&right, &self.im.neg()?, &self.im)? }.exp()?;
        let part = small.plus(1.0)?.reciprocal()?;
        let other = small.mul(&part)?;
        Ok(Z { re: where_(&right, &part.re, &other.re)?, im: where_(&right, &part.im, &other.im)? })
    }

    /// z to the power w, e^(w·log z); 0 to the power 0 is 1.
    pub fn pow(&self, w: &Z) -> Result<Z> {
        let out = self.log()?.mul(w)?.exp()?;
        let base_zero = hypot(&self.re, &self.im)?.eq_zero()?;
        let at_zero = choose(&hypot(&w.re, &w.im)?.eq_zero()?, 1.0, &w.re.mul(0.0)?)?;
        Ok(Z { re: where_(&base_zero, &at_zero, &out.re)?, im: out.im.zero_where(&base_zero)? })
    }

    /// log(eᶻ + eʷ): the side with the larger real part comes out of the sum.
    pub fn logaddexp(&self, w: &Z) -> Result<Z> {
        let larger = self.re.ge(&w.re)?;
        let pick = |yes: &Z, no: &Z| -> Result<Z> {
            Ok(Z { re: where_(&larger, &yes.re, &no.re)?, im: where_(&larger, &yes.im, &no.im)? })
        };
        let (high, low) = (pick(self, w)?, pick(w, self)?);
        let rest = low.add(&high.neg()?)?.exp()?.log1p()?;
        high.add(&rest)
    }
}
