//! Elementwise operators: promotion, broadcasting, recording, and the derivatives written in the operator table.

use super::device::to_device;
use super::iterator::result_layout;
use super::{carried, complex};
use crate::device::Device;
use crate::dtype::{DType, Scalar};
use crate::elementwise_table;
use crate::error::Result;
use crate::exec::record::record_one;
use crate::grad::{Grads, Rule as GradRule, Vjp, modes, with_grad_mode};
use crate::graph::{Edge, Input, Inputs, OutSpec};
use crate::op::{Ew, Op, Rule, SAVE_OUTPUT};
use crate::shape::{Dims, Layout, broadcast_shapes};
use crate::tensor::{Keep, Tensor, any_requires_grad, attach};
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock};

/// An argument of an elementwise operator.
#[derive(Clone, Copy)]
pub enum Operand<'a> {
    Tensor(&'a Tensor),
    Number(Scalar),
}

impl<'a> From<&'a Tensor> for Operand<'a> {
    fn from(t: &'a Tensor) -> Self {
        Operand::Tensor(t)
    }
}
impl From<Scalar> for Operand<'_> {
    fn from(s: Scalar) -> Self {
        Operand::Number(s)
    }
}
impl From<f64> for Operand<'_> {
    fn from(v: f64) -> Self {
        Operand::Number(Scalar::Float(v))
    }
}
impl From<i64> for Operand<'_> {
    fn from(v: i64) -> Self {
        Operand::Number(Scalar::Int(v))
    }
}

static DEFAULT_DTYPE: AtomicU8 = AtomicU8::new(DType::F32 as u8);

/// The dtype of new floating tensors (`get_default_dtype`).
#[inline]
pub fn default_dtype() -> DType {
    DType::ALL[DEFAULT_DTYPE.load(Ordering::Relaxed) as usize]
}

pub fn set_default_dtype(d: DType) -> Result<()> {
    ensure!(d.is_float(), Type, "only floating-point types are supported as the default type");
    DEFAULT_DTYPE.store(d as u8, Ordering::Relaxed);
    Ok(())
}

/// PyTorch's `result_type`: tensors with dims decide; 0-d tensors and then numbers count only by a higher category.
pub fn result_type(operands: &[Operand]) -> DType {
    // The common case: tensors of one float dtype, and numbers.
    if let [Operand::Tensor(first), rest @ ..] = operands
        && first.dtype().is_differentiable()
        && first.rank() > 0
        && rest.iter().all(|o| match o {
            Operand::Number(s) => s.category() <= first.dtype().category(),
            Operand::Tensor(t) => t.dtype() == first.dtype(),
        })
    {
        return first.dtype();
    }
    let (mut dimmed, mut zero, mut number): (Option<DType>, Option<DType>, Option<DType>) = (None, None, None);
    let join = |slot: &mut Option<DType>, d: DType| *slot = Some(slot.map_or(d, |s| s.promote(d)));
    for o in operands {
        match o {
            Operand::Tensor(t) if t.rank() > 0 => join(&mut dimmed, t.dtype()),
            Operand::Tensor(t) => join(&mut zero, t.dtype()),
            Operand::Number(Scalar::Bool(_)) => join(&mut number, DType::Bool),
            Operand::Number(Scalar::Int(_) | Scalar::Unsigned(_)) => join(&mut number, DType::I64),
            Operand::Number(Scalar::Float(_)) => join(&mut number, default_dtype()),
            Operand::Number(Scalar::Complex(..)) => join(&mut number, default_dtype().complex()),
        }
    }
    let over = |higher: Option<DType>, lower: Option<DType>| match (higher, lower) {
        // Complex numbers take the precision of the floats that they meet.
        (Some(h), Some(l)) if l.is_complex() && h.is_float() => Some(h.complex()),
        (Some(h), Some(l)) if l.category() > h.category() => Some(l),
        (None, l) => l,
        (h, _) => h,
    };
    over(over(dimmed, zero), number).unwrap_or_else(default_dtype)
}

/// Applies an elementwise operator with PyTorch's promotion and broadcasting.
pub fn apply(op: Ew, operands: &[Operand]) -> Result<Tensor> {
    let (compute, out) = dtypes(op, operands)?;
    // The common case: nothing to convert.
    if op != Ew::Where
        && operands
            .iter()
            .all(|o| matches!(o, Operand::Tensor(t) if t.dtype() == compute) || matches!(o, Operand::Number(_)))
    {
        return finish(op, operands, operands, compute, out);
    }
    let converted = convert(op, operands, compute)?;
    let refs: SmallVec<[Operand; 4]> = converted
        .iter()
        .zip(operands)
        .map(|(c, o)| match (c, o) {
            (Some(t), _) => Operand::Tensor(t),
            (None, o) => *o,
        })
        .collect();
    finish(op, operands, &refs, compute, out)
}

/// Records the operator on converted operands, with its gradient.
fn finish(op: Ew, given: &[Operand], operands: &[Operand], compute: DType, out: DType) -> Result<Tensor> {
    if compute.is_complex() && op == Ew::Abs {
        return tensors(operands).next().map_or_else(|| bail!(Internal, "abs of no tensor"), complex::abs);
    }
    let result = match compute.is_primitive() {
        true => record_broadcast(op, operands, compute, out)?,
        false => with_grad_mode(false, || match compute.is_complex() {
            true => complex::elementwise::record(op, operands, compute, out),
            false => carried::elementwise(op, operands, compute, out),
        })?,
    };
    if op.differentiable() && out.is_differentiable() && modes().grad {
        attach_gradient(op, given, operands, compute, &result)?;
    }
    Ok(result)
}

/// The dtype the operator computes in, and that of its result.
fn dtypes(op: Ew, operands: &[Operand]) -> Result<(DType, DType)> {
    if op == Ew::Sub {
        check_subtraction(operands)?;
    }
    let values = if op == Ew::Where { &operands[1..] } else { operands };
    // The common case first: everything has one dtype.
    let common = result_type(values);
    if !common.is_primitive() {
        carried::check_promotion(values)?;
        ensure!(
            op.rule() != Rule::Logic || !common.is_carried(),
            NotImplemented,
            "\"{}\" not implemented for '{}'",
            op.name(),
            common.scalar_name()
        );
    }
    let float = |d: DType| if d.is_differentiable() { d } else { default_dtype() };
    let (compute, out) = match op.rule() {
        Rule::Floats if !op.is_random() => {
            // Numbers among the arguments, such as slopes, do not make a float of an integer.
            let given = operands.first().map_or(common, |o| result_type(std::slice::from_ref(o)));
            ensure!(
                given.is_float() || (given.is_complex() && op.supports(given)),
                NotImplemented,
                "\"{}\" not implemented for '{}'",
                op.name(),
                given.scalar_name()
            );
            (common, common)
        }
        Rule::Same | Rule::Floats | Rule::Arith | Rule::Bits | Rule::Integers | Rule::Select => (common, common),
        Rule::Float | Rule::Quotient => (float(common), float(common)),
        Rule::Compare | Rule::Test => (common, DType::Bool),
        Rule::Logic => (DType::Bool, DType::Bool),
    };
    if !op.supports(compute) {
        let name = op.name();
        match op {
            Ew::Neg if compute == DType::Bool => bail!(
                Runtime,
                "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
            ),
            _ => bail!(NotImplemented, "\"{name}\" not implemented for '{}'", compute.scalar_name()),
        }
    }
    Ok((compute, out))
}

/// Differences of truth values are refused, also where the other side would promote them.
pub fn check_subtraction(operands: &[Operand]) -> Result<()> {
    let is_bool = |o: &Operand| match o {
        Operand::Tensor(t) => t.dtype() == DType::Bool,
        Operand::Number(s) => matches!(s, Scalar::Bool(_)),
    };
    ensure!(
        !operands.iter().all(is_bool),
        Runtime,
        "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead."
    );
    ensure!(
        !operands.iter().any(is_bool),
        Runtime,
        "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
    );
    Ok(())
}

/// Tensors whose dtype differs from the compute dtype, converted; `None` keeps the operand.
fn convert(op: Ew, operands: &[Operand], compute: DType) -> Result<SmallVec<[Option<Tensor>; 4]>> {
    operands
        .iter()
        .enumerate()
        .map(|(i, o)| match o {
            Operand::Tensor(t) if op == Ew::Where && i == 0 => {
                // uint8 is what masks were before there was bool.
                ensure!(
                    matches!(t.dtype(), DType::Bool | DType::U8),
                    Runtime,
                    "where expected condition to be a boolean tensor, but got a tensor with dtype {}",
                    t.dtype().scalar_name()
                );
                if t.dtype() == DType::Bool { Ok(None) } else { cast(t, DType::Bool).map(Some) }
            }
            Operand::Tensor(t) if t.dtype() != compute => cast(t, compute).map(Some),
            _ => Ok(None),
        })
        .collect()
}

fn tensors<'a>(operands: &'a [Operand]) -> impl Iterator<Item = &'a Tensor> {
    operands.iter().filter_map(|o| if let Operand::Tensor(t) = o { Some(*t) } else { None })
}

/// Records the node on inputs that have the compute dtype already.
pub(super) fn record_broadcast(op: Ew, operands: &[Operand], compute: DType, out: DType) -> Result<Tensor> {
    let shape = common_layout(op, operands)?;
    let device = tensors(operands).map(Tensor::device).find(|d| *d != Device::Cpu);
    // Floats of 16 bits are computed in float32, and a factor counts as one of those, as in PyTorch.
    let wide = matches!(op, Ew::Mul | Ew::Div) && matches!(compute, DType::F16 | DType::BF16);
    let number = if wide { DType::F32 } else { compute };
    let mut inputs: Inputs = SmallVec::new();
    for o in operands {
        inputs.push(match o {
            Operand::Number(s) => Input::Scalar(s.to_bits(number), compute),
            Operand::Tensor(t) => {
                // A tensor without dims on the CPU counts as a number and is brought to where the others are.
                let mut edge = match device {
                    Some(d) if t.rank() == 0 && t.device() == Device::Cpu => to_device(&t.detach(), d)?.edge(),
                    _ => t.edge(),
                };
                if edge.layout.shape != shape.shape {
                    let Some(wide) = edge.layout.broadcast_to(&shape.shape) else {
                        bail!(Internal, "{}: shapes do not broadcast", op.name())
                    };
                    edge.layout = Arc::new(wide);
                }
                Input::Tensor(edge)
            }
        });
    }
    record_one(Op::Ew(op), inputs, OutSpec { dtype: out, layout: shape })
}

/// The layout of an elementwise result: the broadcast shape with the strides that PyTorch's iterator would choose.
fn common_layout(op: Ew, operands: &[Operand]) -> Result<Arc<Layout>> {
    let mut tensors = operands.iter().filter_map(|o| if let Operand::Tensor(t) = o { Some(*t) } else { None });
    let Some(first) = tensors.next() else { return Ok(Arc::new(Layout::contiguous(Dims::new()))) };
    // The common case: one shape, row-major.
    let plain = |t: &Tensor| {
        let l = t.layout();
        Arc::ptr_eq(l, first.layout()) || (l.shape == first.layout().shape && l.is_contiguous())
    };
    if first.layout().is_row_major() && tensors.clone().all(plain) {
        return Ok(first.layout().clone());
    }
    let mut shape: Option<Dims> = None;
    for t in tensors {
        let so_far: &[usize] = shape.as_deref().unwrap_or_else(|| first.shape());
        if t.shape() != so_far {
            shape = Some(broadcast_shapes(op.name(), so_far, t.shape())?);
        }
    }
    let shape = shape.unwrap_or_else(|| first.shape_dims().clone());
    let layouts: SmallVec<[&Layout; 4]> =
        operands.iter().filter_map(|o| if let Operand::Tensor(t) = o { Some(&**t.layout()) } else { None }).collect();
    Ok(Arc::new(result_layout(&layouts, &shape)))
}

/// The layout of a fresh result that follows `like`: its own if dense from offset 0, else its dimension order made dense.
pub fn output_layout(like: &Arc<Layout>) -> Arc<Layout> {
    if like.is_row_major() {
        return like.clone();
    }
    if like.offset == 0 && like.is_dense() && !like.shape.contains(&1) {
        return like.clone();
    }
    Arc::new(dense_like(like))
}

/// The layout of a copy that keeps the strides, those of single elements included, where they are dense.
pub fn preserved(like: &Layout) -> Layout {
    if like.is_dense() { Layout { offset: 0, ..like.clone() } } else { dense_like(like) }
}

/// Dense strides in the dimension order of `like` (`memory_format=torch.preserve_format`).
pub fn dense_like(like: &Layout) -> Layout {
    if !like.is_dense() || like.is_contiguous() {
        // Overlapping or gappy inputs: order dims by stride, as PyTorch's iterator does.
        let mut order: SmallVec<[usize; 6]> = (0..like.rank()).collect();
        if like.is_contiguous() || like.has_internal_overlap() {
            return Layout::contiguous(like.shape.clone());
        }
        order.sort_by_key(|&d| std::cmp::Reverse(like.strides[d]));
        return strided_in_order(&like.shape, &order);
    }
    let mut order: SmallVec<[usize; 6]> = (0..like.rank()).collect();
    order.sort_by_key(|&d| std::cmp::Reverse(like.strides[d]));
    strided_in_order(&like.shape, &order)
}

fn strided_in_order(shape: &Dims, order: &[usize]) -> Layout {
    let mut strides = Dims::filled(1, shape.len());
    let mut acc = 1;
    for &d in order.iter().rev() {
        strides[d] = acc;
        acc *= shape[d].max(1);
    }
    Layout { shape: shape.clone(), strides, offset: 0 }
}

/// Conversion to another dtype, differentiable between floats.
pub fn cast(t: &Tensor, dtype: DType) -> Result<Tensor> {
    if t.dtype() == dtype {
        return Ok(t.clone());
    }
    let from = t.dtype();
    let out = match (from.is_carried() || dtype.is_carried(), from.is_complex() == dtype.is_complex()) {
        (true, _) => with_grad_mode(false, || carried::converted(t, dtype))?,
        (_, true) => {
            let spec = OutSpec { dtype, layout: Arc::new(preserved(t.layout())) };
            record_one(Op::Cast, SmallVec::from_iter([t.input()]), spec)?
        }
        _ => with_grad_mode(false, || complex::converted(t, dtype))?,
    };
    attach("ToCopyBackward0", &[t], std::slice::from_ref(&out), Keep::default(), || {
        GradRule::Fn(Arc::new(move |v| Ok(SmallVec::from_iter([Some(cast(v.grad()?, from)?)]))))
    })?;
    Ok(out)
}

// Gradients. Positions in `saved` follow the order of the row's saved arguments, numbers included as 0-d tensors.

/// `given` are the operands before conversion: they are what is kept, and converted again when the gradient reads them.
fn attach_gradient(op: Ew, given: &[Operand], operands: &[Operand], compute: DType, result: &Tensor) -> Result<()> {
    let tensors: SmallVec<[&Tensor; 4]> =
        operands.iter().filter_map(|o| if let Operand::Tensor(t) = o { Some(*t) } else { None }).collect();
    if !any_requires_grad(&tensors) {
        return Ok(());
    }
    tensors.iter().try_for_each(|t| t.check_view())?;
    use crate::grad::{GradEdge, GradMeta, GradNode, Saved};
    let edges: SmallVec<[Option<GradEdge>; 3]> = operands
        .iter()
        .map(|o| match o {
            Operand::Tensor(t) if t.dtype().is_differentiable() => t.gradient_edge(),
            _ => None,
        })
        .collect();
    let meta = GradMeta::of(result);
    let mask = needed(op, &edges);
    let node =
        Arc::new(GradNode::new(step_name(op, given), GradRule::Ew(op, compute), edges, SmallVec::from_iter([meta])));
    let mut saved: SmallVec<[Saved; 3]> = SmallVec::new();
    for (i, o) in given.iter().enumerate() {
        if op.saves() & (1 << i) == 0 {
            continue;
        }
        if mask & (1 << i) == 0 {
            saved.push(Saved::constant(&UNUSED));
        } else {
            match o {
                Operand::Tensor(t) => {
                    Saved::check(t)?;
                    saved.push(Saved::input(t));
                }
                Operand::Number(s) => {
                    if let Ok(t) = super::create::number(*s, compute, result.device()) {
                        saved.push(Saved::constant(&t));
                    }
                }
            }
        }
    }
    if op.saves() & SAVE_OUTPUT != 0 {
        saved.push(if mask & SAVE_OUTPUT != 0 { Saved::output(result, 0) } else { Saved::constant(&UNUSED) });
    }
    result.meta_or_init().state().grad_fn = Some(GradEdge { node: node.clone(), output: 0 });
    node.save(saved)
}

/// Stands where a saved value is not needed, so that the others keep their places.
static UNUSED: LazyLock<Tensor> = LazyLock::new(|| {
    super::create::from_slice(&[0u8]).unwrap_or_else(|e| panic!("one byte could not be allocated: {e}"))
});

/// Makes what stands for values that are not needed, if it is not there yet.
pub fn make_placeholder() {
    LazyLock::force(&UNUSED);
}

/// Per operator and argument: which saved values the argument's gradient reads, found from the table's expressions.
static USES: LazyLock<Vec<SmallVec<[u8; 4]>>> =
    LazyLock::new(|| Ew::ALL.iter().map(|&op| op.gradient_uses()).collect());

/// The saved values that the wanted gradients read. `x * 2` then does not keep x, which may be overwritten.
fn needed(op: Ew, edges: &[Option<crate::grad::GradEdge>]) -> u8 {
    let uses = &USES[op as usize];
    edges.iter().zip(uses).filter(|(e, _)| e.is_some()).fold(0, |m, (_, u)| m | u)
}

/// PyTorch's names of backward nodes: the operator's in camel case, with `Backward` and a number that tells overloads apart.
fn step_name(op: Ew, operands: &[Operand]) -> &'static str {
    static NAMES: LazyLock<Vec<String>> =
        LazyLock::new(|| Ew::ALL.iter().map(|op| camel(op.name()) + "Backward0").collect());
    let tensor = |i: usize| matches!(operands.get(i), Some(Operand::Tensor(_)));
    match (op, tensor(0), tensor(1)) {
        (Ew::Pow, true, true) => "PowBackward1",
        (Ew::Pow, false, true) => "PowBackward2",
        (Ew::Sub, false, true) => "RsubBackward1",
        (Ew::Remainder, true, true) => "RemainderBackward1",
        (Ew::Fmod, true, true) => "FmodBackward1",
        (Ew::Xlogy, false, true) => "XlogyBackward1",
        (Ew::Xlogy, true, false) => "XlogyBackward2",
        (Ew::Copysign, true, false) => "CopysignBackward1",
        (Ew::Lerp, ..) if tensor(2) => "LerpBackward1",
        (Ew::Clamp, _, bound) if !bound && !tensor(2) => "ClampBackward1",
        (Ew::Log1p, ..) => "Log1PBackward0",
        (Ew::GeluTanh, ..) => "GeluBackward0",
        (Ew::LogSigmoid, ..) => "LogSigmoidBackward0",
        _ => &NAMES[op as usize],
    }
}

fn camel(name: &str) -> String {
    name.split('_').filter(|w| !w.is_empty()).map(|w| w[..1].to_uppercase() + &w[1..]).collect()
}

macro_rules! define_vjp {
    ($(($V:ident, $name:literal, $rule:ident, $args:tt, $doc:literal, cpu { $($cpu:tt)* }, wgsl { $($wc:ident : $w:literal),* }, grad $($grad:tt)*))*) => {
        /// The gradients of an elementwise operator's arguments, every step rounded to `compute`.
        fn vjp_in(op: Ew, compute: DType, v: &Vjp) -> Result<Grads> {
            match op { $(Ew::$V => vjp_row!($V, v, compute, $args, $($grad)*)),* }
        }
    };
}

macro_rules! vjp_row {
    ($V:ident, $v:ident, $compute:ident, $args:tt, none) => {
        bail!(Runtime, "the derivative of {} is not defined", Ew::$V.name())
    };
    ($V:ident, $v:ident, $compute:ident, $args:tt, ($g:ident; $($s:ident),*) [$($e:tt)*]) => {{
        #[allow(unused_mut, unused_variables)]
        let mut next = 0usize;
        #[allow(unused_variables)]
        let $g = $v.grad()?;
        $(let $s = &kept(Ew::$V, $v.saved(next), $compute)?; next += 1;)*
        let _ = next;
        let mut out: Grads = SmallVec::new();
        gradients!($v, out, 0usize, $($e)*);
        Ok(out)
    }};
}

/// A saved value in the dtype that the operator computed in; the condition of `where` stays what it is.
fn kept(op: Ew, saved: &Tensor, compute: DType) -> Result<Tensor> {
    let as_is = op == Ew::Where || Arc::ptr_eq(saved.cell(), UNUSED.cell());
    match (as_is, compute.is_complex()) {
        (true, _) => Ok(saved.clone()),
        (false, false) => cast(saved, compute),
        // The derivative of a holomorphic function counts conjugated, which is the function at conjugate values.
        (false, true) => complex::conj(&cast(saved, compute)?),
    }
}

/// Evaluates the expressions whose gradient is wanted.
macro_rules! gradients {
    ($v:ident, $out:ident, $i:expr, nil $(, $($rest:tt)*)?) => {
        $out.push(None);
        $(gradients!($v, $out, $i + 1, $($rest)*);)?
    };
    ($v:ident, $out:ident, $i:expr, $e:expr $(, $($rest:tt)*)?) => {
        $out.push(if $v.needs($i) { Some($e) } else { None });
        $(gradients!($v, $out, $i + 1, $($rest)*);)?
    };
}

elementwise_table!(define_vjp);

/// The gradients of an elementwise operator's arguments. Where PyTorch has one kernel for the whole expression, half
/// types are computed in float32 and rounded once, too.
pub fn vjp(op: Ew, compute: DType, v: &Vjp) -> Result<Grads> {
    if !matches!(compute, DType::F16 | DType::BF16) || !rounds_gradient_once(op) {
        return vjp_in(op, compute, v);
    }
    let wide: SmallVec<[Option<Tensor>; 1]> =
        v.grads.iter().map(|g| g.as_ref().map(|g| cast(g, DType::F32)).transpose()).collect::<Result<_>>()?;
    let grads = vjp_in(op, DType::F32, &v.with_grads(&wide))?;
    grads.iter().map(|g| g.as_ref().map(|g| cast(g, compute)).transpose()).collect()
}

fn rounds_gradient_once(op: Ew) -> bool {
    use Ew::*;
    matches!(
        op,
        Sigmoid
            | Tanh
            | Gelu
            | GeluTanh
            | Silu
            | Mish
            | Softplus
            | LogSigmoid
            | Elu
            | Hardswish
            | Hardsigmoid
            | LogAddExp
            | LogAddExp2
            | Igamma
            | Igammac
    )
}

// Pieces of derivatives.

fn compare(op: Ew, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    apply(op, &[x.into(), y.into()])
}

/// c ? x : y.
pub fn where_(c: &Tensor, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    apply(Ew::Where, &[c.into(), x.into(), y.into()])
}

fn zeros_like(g: &Tensor) -> Result<Tensor> {
    super::create::full_with((*output_layout(g.layout())).clone(), Scalar::Int(0), g.dtype(), g.device())
}

/// For operators that are recorded as differentiable, but whose derivative PyTorch refuses when it is asked for.
fn no_derivative(_: &Tensor, name: &str) -> Result<Tensor> {
    bail!(Runtime, "derivative for aten::{name} is not implemented")
}

/// As [`no_derivative`], where PyTorch has a derivative for other arguments; `name` is the operator's and the argument's.
fn no_derivative_of(_: &Tensor, name: &str) -> Result<Tensor> {
    bail!(NotImplemented, "the derivative for '{name}' is not implemented.")
}

fn one_minus_square(x: &Tensor) -> Result<Tensor> {
    x.mul(x)?.neg()?.add(1.0)
}

/// 1/√(x² − 1), of complex numbers on the branch of acosh.
fn acosh_slope(x: &Tensor) -> Result<Tensor> {
    if x.dtype().is_complex() {
        return x.sub(1.0)?.rsqrt()?.mul(&x.add(1.0)?.rsqrt()?);
    }
    x.mul(x)?.sub(1.0)?.rsqrt()
}

/// 2/√π · e^(−x²), the derivative of erf.
fn gauss(x: &Tensor) -> Result<Tensor> {
    x.mul(x)?.neg()?.exp()?.mul(std::f64::consts::FRAC_2_SQRT_PI)
}

/// The density of a gamma variable with shape a and rate 1, the slope in x of P(a, x). Beyond `LARGE` shapes lgamma is
/// Stirling's series, whose large terms cancel against the others before anything is rounded.
fn gamma_density(a: &Tensor, x: &Tensor) -> Result<Tensor> {
    const LARGE: f64 = 16.0;
    // B₂ₖ / (2k (2k − 1)), from the last: what follows is below 2e-16 for large shapes.
    const SERIES: [f64; 5] = [1.0 / 1188.0, -1.0 / 1680.0, 1.0 / 1260.0, -1.0 / 360.0, 1.0 / 12.0];
    let lgamma = apply(Ew::Lgamma, &[a.into()])?;
    let small = a.sub(1.0)?.mul(&x.log()?)?.sub(x)?.sub(&lgamma)?;
    let shape = a.maximum(LARGE)?;
    let (beyond, inverse) = (x.sub(&shape)?, shape.reciprocal()?);
    let square = inverse.mul(&inverse)?;
    let mut series = square.mul(SERIES[0])?;
    for &c in &SERIES[1..4] {
        series = series.add(c)?.mul(&square)?;
    }
    let series = series.add(SERIES[4])?.mul(&inverse)?;
    let scale = shape.mul(std::f64::consts::TAU)?.log()?.mul(0.5)?;
    let large = shape.sub(1.0)?.mul(&beyond.mul(&inverse)?.log1p()?)?.sub(&beyond)?.sub(&scale)?.sub(&series)?;
    where_(&a.ge(LARGE)?, &large, &small)?.exp()
}

/// The derivative of order `n` of digamma.
fn polygamma(x: &Tensor, n: Operand) -> Result<Tensor> {
    apply(Ew::Polygamma, &[x.into(), n])
}

fn bessel_i1(x: &Tensor) -> Result<Tensor> {
    apply(Ew::I1, &[x.into()])
}

/// I₁′ = I₀ − I₁/x, one half at 0.
fn bessel_i1_slope(x: &Tensor, i1: &Tensor) -> Result<Tensor> {
    let zero = x.eq_zero()?;
    // A divisor that is nowhere zero keeps NaN out of the derivatives of this.
    let divisor = apply(Ew::Where, &[(&zero).into(), 1.0.into(), x.into()])?;
    let slope = apply(Ew::I0, &[x.into()])?.sub(&i1.div(&divisor)?)?;
    apply(Ew::Where, &[(&zero).into(), 0.5.into(), (&slope).into()])
}

fn pow_grad_base(g: &Tensor, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    // Where the exponent is 0 the derivative is 0, even at base 0.
    let d = g.mul(y)?.mul(&x.pow(&y.sub(1.0)?)?)?;
    d.masked_zero(&apply(Ew::Ne, &[y.into(), 0.0.into()])?)
}

fn pow_grad_exponent(g: &Tensor, x: &Tensor, y: &Tensor, out: &Tensor) -> Result<Tensor> {
    // 0^y with y >= 0 has derivative 0 in y.
    let zero = x.eq_zero()?.logical_and(&complex::real(y)?.ge(0.0)?)?;
    g.mul(&out.mul(&x.log()?)?)?.masked_zero(&zero.logical_not()?)
}

/// The gradient of max or min for its first argument; ties share it.
fn extremum_grad(g: &Tensor, x: &Tensor, y: &Tensor, wins: Ew) -> Result<Tensor> {
    let half = where_(&compare(Ew::Eq, x, y)?, &g.mul(0.5)?, g)?;
    // A NaN on either side loses to nobody: both get the whole.
    half.zero_where(&compare(if wins == Ew::Gt { Ew::Lt } else { Ew::Gt }, x, y)?)
}

/// The slope of the angle of (x, y) as one coordinate moves, `other` being the one that stands still: 0 at the origin.
fn atan2_slope(other: &Tensor, moved: &Tensor) -> Result<Tensor> {
    let square = moved.mul(moved)?.add(&other.mul(other)?)?;
    other.div(&square)?.zero_where(&other.eq_zero()?.logical_and(&moved.eq_zero()?)?)
}

/// g / (x · (1 − x)), NaN outside [0, 1].
fn logit_grad(g: &Tensor, x: &Tensor) -> Result<Tensor> {
    let inside = x.ge(0.0)?.logical_and(&x.le(1.0)?)?;
    let slope = g.div(&x.mul(&x.rsub_one()?)?)?;
    apply(Ew::Where, &[(&inside).into(), (&slope).into(), Scalar::Float(f64::NAN).into()])
}

fn copysign_grad(g: &Tensor, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    // The result per x, which no NaN and no infinity has, and 0 where x is 0.
    let slope = apply(Ew::Copysign, &[x.into(), y.into()])?.div(x)?;
    g.mul(&slope.zero_where(&x.eq_zero()?)?)
}

fn gelu_slope(x: &Tensor) -> Result<Tensor> {
    let cdf = x.mul(std::f64::consts::FRAC_1_SQRT_2)?.erf()?.add(1.0)?.mul(0.5)?;
    let pdf = x.mul(x)?.mul(-0.5)?.exp()?.mul(0.398_942_280_401_432_7)?;
    cdf.add(&x.mul(&pdf)?)
}

fn gelu_tanh_slope(x: &Tensor) -> Result<Tensor> {
    let beta = 0.797_884_560_802_865_4;
    let x2 = x.mul(x)?;
    let t = x2.mul(0.044_715)?.add(1.0)?.mul(x)?.mul(beta)?.tanh()?;
    let left = t.add(1.0)?.mul(0.5)?;
    let inner = x2.mul(3.0 * 0.044_715)?.add(1.0)?.mul(beta)?;
    left.add(&one_minus_square(&t)?.mul(&inner)?.mul(x)?.mul(0.5)?)
}

fn silu_slope(x: &Tensor) -> Result<Tensor> {
    let s = x.sigmoid()?;
    s.mul(&s.rsub_one()?.mul(x)?.add(1.0)?)
}

fn mish_slope(x: &Tensor) -> Result<Tensor> {
    let t = apply(Ew::Softplus, &[x.into(), 1.0.into(), 20.0.into()])?.tanh()?;
    t.add(&x.mul(&x.sigmoid()?)?.mul(&one_minus_square(&t)?)?)
}

fn softplus_grad(g: &Tensor, x: &Tensor, b: &Tensor, t: &Tensor) -> Result<Tensor> {
    let z = x.mul(b)?;
    where_(&compare(Ew::Gt, &z, t)?, g, &g.mul(&z.sigmoid()?)?)
}

fn elu_grad(g: &Tensor, x: &Tensor, a: &Tensor, s: &Tensor, k: &Tensor) -> Result<Tensor> {
    let below = g.mul(s)?.mul(a)?.mul(k)?.mul(&x.mul(k)?.exp()?)?;
    where_(&x.gt(0.0)?, &g.mul(s)?, &below)
}

fn hardswish_grad(g: &Tensor, x: &Tensor) -> Result<Tensor> {
    let middle = g.mul(&x.mul(1.0 / 3.0)?.add(0.5)?)?;
    let upper = where_(&x.ge(3.0)?, g, &middle)?;
    upper.masked_zero(&x.gt(-3.0)?)
}

macro_rules! methods {
    (unary $($name:ident: $op:ident),*) => {
        /// The unary operators as methods; documentation is in the operator table.
        impl Tensor { $(#[inline] pub fn $name(&self) -> Result<Tensor> { apply(Ew::$op, &[self.into()]) })* }
    };
    (binary $($name:ident: $op:ident),*) => {
        /// The binary operators as methods; the right side may be a number.
        impl Tensor {
            $(#[inline] pub fn $name<'a>(&'a self, other: impl Into<Operand<'a>>) -> Result<Tensor> {
                apply(Ew::$op, &[self.into(), other.into()])
            })*
        }
    };
}

methods!(unary neg: Neg, abs: Abs, sign: Sign, reciprocal: Reciprocal, sqrt: Sqrt, rsqrt: Rsqrt, exp: Exp, exp2: Exp2, log: Log,
    log1p: Log1p, sin: Sin, cos: Cos, sinh: Sinh, cosh: Cosh, tanh: Tanh, erf: Erf, sigmoid: Sigmoid, digamma: Digamma,
    isnan: IsNan, isfinite: IsFinite, logical_not: LogicalNot, relu: Relu, copy: Copy);
methods!(binary add: Add, sub: Sub, mul: Mul, div: Div, pow: Pow, maximum: Maximum,
    minimum: Minimum, eq: Eq, ne: Ne, lt: Lt, le: Le, gt: Gt, ge: Ge, logical_and: LogicalAnd, logical_or: LogicalOr);

impl Tensor {
    /// The tensor where the mask holds, 0 elsewhere (NaN and infinity do not leak through).
    pub fn masked_zero(&self, mask: &Tensor) -> Result<Tensor> {
        apply(Ew::Where, &[mask.into(), self.into(), Scalar::Int(0).into()])
    }
    /// The tensor where the mask does not hold, 0 elsewhere.
    pub fn zero_where(&self, mask: &Tensor) -> Result<Tensor> {
        apply(Ew::Where, &[mask.into(), Scalar::Int(0).into(), self.into()])
    }
    /// ⌊x / y⌋, with gradient 0.
    pub fn div_floor(&self, other: &Tensor) -> Result<Tensor> {
        div_rounded(Ew::FloorDiv, self.into(), other.into())
    }
    /// x / y rounded towards zero, with gradient 0.
    pub fn div_trunc(&self, other: &Tensor) -> Result<Tensor> {
        div_rounded(Ew::TruncDiv, self.into(), other.into())
    }
    /// 1 − x.
    pub fn rsub_one(&self) -> Result<Tensor> {
        apply(Ew::Sub, &[1.0.into(), self.into()])
    }
    pub fn eq_zero(&self) -> Result<Tensor> {
        self.eq(0.0)
    }
    pub fn le_zero(&self) -> Result<Tensor> {
        self.le(0.0)
    }
    /// Conversion to another dtype.
    pub fn to_dtype(&self, dtype: DType) -> Result<Tensor> {
        cast(self, dtype)
    }
}

/// x², kept as PyTorch's `pow`: truth values count as int64.
pub fn square(x: &Tensor) -> Result<Tensor> {
    if x.dtype() == DType::Bool {
        return cast(x, DType::I64);
    }
    ensure!(!x.dtype().is_carried(), NotImplemented, "\"pow\" not implemented for '{}'", x.dtype().scalar_name());
    if x.dtype().is_complex() {
        return x.mul(x);
    }
    let out = with_grad_mode(false, || x.mul(x))?;
    attach("PowBackward0", &[x], std::slice::from_ref(&out), Keep { inputs: &[0], outputs: &[] }, || {
        GradRule::Fn(Arc::new(|v| Ok(SmallVec::from_iter([Some(v.grad()?.mul(&v.saved(0).mul(2.0)?)?)]))))
    })?;
    Ok(out)
}

/// The quotient rounded down or towards zero. Its derivative is 0, where that of `floor_divide` is refused.
pub fn div_rounded(op: Ew, a: Operand, b: Operand) -> Result<Tensor> {
    let operands = [a, b];
    let tensors: SmallVec<[&Tensor; 2]> =
        operands.iter().filter_map(|o| if let Operand::Tensor(t) = o { Some(*t) } else { None }).collect();
    let out = with_grad_mode(false, || apply(op, &operands))?;
    let device = out.device();
    let layouts: SmallVec<[(Arc<Layout>, DType); 2]> =
        tensors.iter().map(|t| (t.layout().clone(), t.dtype())).collect();
    attach("DivBackward2", &tensors, std::slice::from_ref(&out), Keep::default(), || {
        GradRule::Fn(Arc::new(move |v| {
            let zero = |(i, (layout, dtype)): (usize, &(Arc<Layout>, DType))| {
                let layout = (*output_layout(layout)).clone();
                v.needs(i).then(|| super::create::full_with(layout, Scalar::Int(0), *dtype, device)).transpose()
            };
            layouts.iter().enumerate().map(zero).collect()
        }))
    })?;
    Ok(out)
}

/// An edge over a whole tensor, for families that build nodes themselves.
pub fn whole(t: &Tensor) -> Edge {
    t.edge()
}
