//! The gradient machinery for Python: modes, `backward`, `grad`, hooks and `Function`. `nodes.rs` has the graph's nodes as
//! objects.

use crate::error::{IntoPy, from_py};
use crate::nodes::{PyNode, node_object};
use crate::tensor::PyTensor;
use corten_core::capture;
use corten_core::error::Result as CoreResult;
use corten_core::grad::{
    CustomRule, GradEdge, GradMeta, GradNode, Grads, Hook, NodeHook, Origin, Packed, PreHook, Rule, Saved, SavedHooks,
    Vjp, has_saved_hooks, modes, next_hook_id, pop_saved_hooks, push_saved_hooks, set_modes,
};
use corten_core::tensor::{Tensor, WeakTensor};
use corten_core::transform::autograd::{Request, current_pass, pass_reaches, run};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard};

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whether operators are recorded for `backward` on this thread.
#[pyfunction]
pub fn is_grad_enabled() -> bool {
    modes().grad
}

/// Switches gradient recording on this thread; returns the old setting.
#[pyfunction]
pub fn set_grad_enabled(on: bool) -> bool {
    let m = modes();
    set_modes(corten_core::grad::Modes { grad: on, ..m });
    m.grad
}

/// Whether this thread is inside `inference_mode`.
#[pyfunction]
pub fn is_inference_mode_enabled() -> bool {
    modes().inference
}

#[pyfunction]
pub fn set_inference_mode(on: bool) -> bool {
    let m = modes();
    set_modes(corten_core::grad::Modes { inference: on, ..m });
    m.inference
}

/// (enabled, check_nan)
#[pyfunction]
pub fn anomaly_mode() -> (bool, bool) {
    (modes().anomaly, modes().anomaly_check_nan)
}

#[pyfunction]
#[pyo3(signature = (on, check_nan=true))]
pub fn set_anomaly_mode(on: bool, check_nan: bool) {
    set_modes(corten_core::grad::Modes { anomaly: on, anomaly_check_nan: check_nan, ..modes() });
}

/// The innermost user lines, for anomaly reports.
pub fn python_trace() -> Option<String> {
    Python::attach(|py| {
        let stack = py.import("traceback").ok()?.call_method0("format_stack").ok()?;
        stack.extract::<Vec<String>>().ok().map(|lines| lines.concat())
    })
}

/// The tensors of a list or tuple.
pub fn tensors(list: &Bound<'_, PyAny>) -> PyResult<Vec<Tensor>> {
    crate::args::extract_tensors(list).ok_or_else(|| PyTypeError::new_err("expected a sequence of Tensors"))
}

fn optional_tensors(list: &Bound<'_, PyAny>) -> PyResult<Vec<Option<Tensor>>> {
    list.try_iter()?
        .map(|o| {
            let o = o?;
            if o.is_none() { Ok(None) } else { Ok(Some(o.cast::<PyTensor>()?.get().tensor())) }
        })
        .collect()
}

/// The engine behind `Tensor.backward` and `autograd.grad`: returns the gradients of `inputs` when `capture`.
#[pyfunction]
#[pyo3(signature = (roots, seeds, retain_graph, create_graph, inputs=None, capture=false))]
pub fn run_backward(
    py: Python<'_>,
    roots: &Bound<'_, PyAny>,
    seeds: &Bound<'_, PyAny>,
    retain_graph: bool,
    create_graph: bool,
    inputs: Option<&Bound<'_, PyAny>>,
    capture: bool,
) -> PyResult<Py<PyAny>> {
    if crate::overrides::active() {
        let given = (roots, seeds, retain_graph, create_graph, inputs, capture).into_pyobject(py)?;
        if let Some(result) = crate::overrides::backward(&given, [Some(roots), Some(seeds), inputs])? {
            return Ok(result);
        }
    }
    let roots = tensors(roots)?;
    let seeds = optional_tensors(seeds)?;
    let inputs = inputs.map(tensors).transpose()?;
    let request =
        Request { roots: &roots, seeds: &seeds, retain_graph, create_graph, inputs: inputs.as_deref(), capture };
    let results = run(&request).py()?;
    let objects: Vec<Option<Py<PyAny>>> =
        results.into_iter().map(|g| g.map(|g| PyTensor::wrap(py, g)).transpose()).collect::<PyResult<_>>()?;
    Ok(PyTuple::new(py, objects)?.into_any().unbind())
}

/// What may become the `.grad` of a tensor: nothing, or a tensor that fits.
pub fn checked_grad(t: &Tensor, value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Tensor>> {
    let Some(v) = value.filter(|v| !v.is_none()) else { return Ok(None) };
    let g = v.cast::<PyTensor>().map_err(|_| {
        PyTypeError::new_err(format!(
            "assigned grad expected to be a Tensor or None but got grad of type {}",
            crate::types::type_name(v)
        ))
    })?;
    let g = g.get().tensor();
    if g.ptr_eq(t) {
        return Err(PyRuntimeError::new_err("can't assign Variable as its own grad"));
    }
    if g.shape() != t.shape() {
        return Err(PyRuntimeError::new_err(format!(
            "attempting to assign a gradient of size '{}' to a tensor of size '{}'. Please ensure that the gradient and the tensor are the same size",
            g.shape_dims(),
            t.shape_dims()
        )));
    }
    if g.dtype() != t.dtype() {
        return Err(PyRuntimeError::new_err(format!(
            "attempting to assign a gradient with dtype '{}' to a tensor with dtype '{}'. The gradient must match the tensor's dtype",
            g.dtype().scalar_name(),
            t.dtype().scalar_name()
        )));
    }
    if g.device() != t.device() {
        return Err(PyRuntimeError::new_err(format!(
            "attempting to assign a gradient with device type '{}' to a tensor with device type '{}'. Please ensure that the gradient and the tensor are on the same device",
            g.device(),
            t.device()
        )));
    }
    Ok(Some(g))
}

// Hooks.

enum Place {
    Leaf(WeakTensor, bool),
    Node(std::sync::Weak<GradNode>),
}

/// Removes a hook; also a context manager.
#[pyclass(frozen, name = "RemovableHandle", module = "corten.utils.hooks")]
pub struct HookHandle {
    place: Place,
    #[pyo3(get)]
    id: u64,
}

#[pymethods]
impl HookHandle {
    fn remove(&self) {
        match &self.place {
            Place::Leaf(t, post) => {
                if let Some(m) = t.upgrade().and_then(|t| t.meta().cloned()) {
                    let mut s = m.state();
                    let list = if *post { &mut s.post_accumulate } else { &mut s.hooks };
                    let gone: Vec<_> = list.extract_if(.., |h| h.0 == self.id).collect();
                    drop(s);
                    drop(gone);
                }
            }
            Place::Node(n) => {
                if let Some(n) = n.upgrade() {
                    let mut h = lock(&n.hooks);
                    h.tensor.retain(|x| x.1 != self.id);
                    h.pre.retain(|x| x.0 != self.id);
                    h.post.retain(|x| x.0 != self.id);
                }
            }
        }
    }
    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }
    #[pyo3(signature = (*_args))]
    fn __exit__(&self, _args: &Bound<'_, PyTuple>) {
        self.remove();
    }
}

fn kind(t: &Tensor) -> String {
    format!("corten.{}Tensor", t.dtype().scalar_name())
}

fn tensor_hook(hook: Py<PyAny>) -> Hook {
    Arc::new(move |g: &Tensor| {
        Python::attach(|py| {
            let out = hook.call1(py, (PyTensor::wrap(py, g.clone())?,))?;
            let out = out.bind(py);
            if out.is_none() {
                return Ok(None);
            }
            let t = out.cast::<PyTensor>().map_err(|_| {
                PyTypeError::new_err(format!("expected Variable, but hook returned '{}'", crate::types::type_name(out)))
            })?;
            let new = t.get().tensor();
            let changed = if new.shape() != g.shape() {
                "size of value".to_owned()
            } else if new.dtype() != g.dtype() {
                format!("type of value (was {} got {})", kind(g), kind(&new))
            } else {
                return Ok(Some(new));
            };
            let name = hook.getattr(py, "__name__").or_else(|_| hook.bind(py).repr().map(|r| r.into_any().unbind()))?;
            Err(PyRuntimeError::new_err(format!("hook '{name}' has changed the {changed}")))
        })
        .map_err(from_py)
    })
}

pub fn register_tensor_hook(t: &Tensor, hook: Py<PyAny>) -> PyResult<HookHandle> {
    capture::refuse(|| "it registers a hook on a gradient".into());
    if !t.requires_grad() {
        return Err(PyRuntimeError::new_err("cannot register a hook on a tensor that doesn't require gradient"));
    }
    let id = next_hook_id();
    match t.grad_fn() {
        Some(edge) => {
            lock(&edge.node.hooks).tensor.push((edge.output, id, tensor_hook(hook)));
            Ok(HookHandle { place: Place::Node(Arc::downgrade(&edge.node)), id })
        }
        None => {
            t.meta_or_init().state().hooks.push((id, tensor_hook(hook)));
            Ok(HookHandle { place: Place::Leaf(t.downgrade(), false), id })
        }
    }
}

pub fn register_post_accumulate_hook(t: &Tensor, hook: Py<PyAny>) -> PyResult<HookHandle> {
    capture::refuse(|| "it registers a hook on a gradient".into());
    if !t.requires_grad() {
        return Err(PyRuntimeError::new_err("cannot register a hook on a tensor that doesn't require gradient"));
    }
    if !t.is_leaf() {
        return Err(PyRuntimeError::new_err("post accumulate grad hooks cannot be registered on non-leaf tensors"));
    }
    let id = next_hook_id();
    t.meta_or_init().state().post_accumulate.push((id, tensor_hook(hook)));
    Ok(HookHandle { place: Place::Leaf(t.downgrade(), true), id })
}

/// Calls `hook(input_grads, output_grads)` after the node's rule.
pub fn register_node_hook(node: &Arc<GradNode>, hook: Py<PyAny>) -> HookHandle {
    capture::refuse(|| "it registers a hook on a gradient".into());
    let id = next_hook_id();
    lock(&node.hooks).post.push((id, node_hook(hook)));
    HookHandle { place: Place::Node(Arc::downgrade(node)), id }
}

/// Calls `hook(output_grads)` before the node's rule.
pub fn register_node_prehook(node: &Arc<GradNode>, hook: Py<PyAny>) -> HookHandle {
    capture::refuse(|| "it registers a hook on a gradient".into());
    let id = next_hook_id();
    lock(&node.hooks).pre.push((id, pre_hook(hook)));
    HookHandle { place: Place::Node(Arc::downgrade(node)), id }
}

// Hooks of nodes.

fn grads_tuple<'py>(py: Python<'py>, grads: &[Option<Tensor>]) -> PyResult<Bound<'py, PyTuple>> {
    let objects: Vec<Option<Py<PyAny>>> =
        grads.iter().map(|g| g.clone().map(|g| PyTensor::wrap(py, g)).transpose()).collect::<PyResult<_>>()?;
    PyTuple::new(py, objects)
}

fn node_hook(hook: Py<PyAny>) -> NodeHook {
    Arc::new(move |inputs: &mut Grads, outputs: &[Option<Tensor>]| {
        Python::attach(|py| {
            let out = hook.call1(py, (grads_tuple(py, inputs)?, grads_tuple(py, outputs)?))?;
            let out = out.bind(py);
            if !out.is_none() {
                let list =
                    if out.is_instance_of::<PyTensor>() { PyTuple::new(py, [out])?.into_any() } else { out.clone() };
                *inputs = optional_tensors(&list)?.into_iter().collect();
            }
            Ok(())
        })
        .map_err(from_py)
    })
}

fn pre_hook(hook: Py<PyAny>) -> PreHook {
    Arc::new(move |grads: &mut Vec<Option<Tensor>>| {
        Python::attach(|py| {
            let out = hook.call1(py, (grads_tuple(py, grads)?,))?;
            let out = out.bind(py);
            if !out.is_none() {
                let list =
                    if out.is_instance_of::<PyTensor>() { PyTuple::new(py, [out])?.into_any() } else { out.clone() };
                *grads = optional_tensors(&list)?;
            }
            Ok(())
        })
        .map_err(from_py)
    })
}

// Hooks of saved tensors.

thread_local! {
    /// Why hooks of saved tensors are refused at present.
    static REFUSAL: RefCell<Option<String>> = const { RefCell::new(None) };
}

struct PySavedHooks {
    pack: Py<PyAny>,
    unpack: Arc<Py<PyAny>>,
}

struct PyPacked {
    value: Py<PyAny>,
    unpack: Arc<Py<PyAny>>,
}

impl SavedHooks for PySavedHooks {
    fn pack(&self, value: &Tensor) -> CoreResult<Arc<dyn Packed>> {
        let packed = Python::attach(|py| self.pack.call1(py, (PyTensor::wrap(py, value.clone())?,)));
        Ok(Arc::new(PyPacked { value: packed.map_err(from_py)?, unpack: self.unpack.clone() }))
    }
}

impl Packed for PyPacked {
    fn unpack(&self) -> CoreResult<Tensor> {
        Python::attach(|py| {
            let out = self.unpack.call1(py, (&self.value,))?;
            let out = out.bind(py);
            let t = out.cast::<PyTensor>().map_err(|_| {
                PyTypeError::new_err(format!(
                    "Output of saved tensor unpack_hook expected to be a Tensor but got result of type {}",
                    crate::types::type_name(out)
                ))
            })?;
            Ok(t.get().tensor())
        })
        .map_err(from_py)
    }
}

/// From now on what this thread's operators save for their gradients goes through `pack` and `unpack`.
#[pyfunction(name = "push_saved_hooks")]
pub fn enter_saved_hooks(pack: Py<PyAny>, unpack: Py<PyAny>) -> PyResult<()> {
    if let Some(text) = REFUSAL.with_borrow(Clone::clone) {
        return Err(PyRuntimeError::new_err(text));
    }
    Python::attach(|py| match [&pack, &unpack].iter().all(|hook| hook.bind(py).is_callable()) {
        true => Ok(()),
        false => Err(PyTypeError::new_err("saved_tensors_hooks: both hooks must be callable")),
    })?;
    push_saved_hooks(Arc::new(PySavedHooks { pack, unpack: Arc::new(unpack) }));
    Ok(())
}

/// Ends the innermost `push_saved_hooks`.
#[pyfunction(name = "pop_saved_hooks")]
pub fn leave_saved_hooks() {
    pop_saved_hooks();
}

/// Refuses hooks of saved tensors with this text, or allows them; returns the text of before.
#[pyfunction]
#[pyo3(signature = (text))]
pub fn refuse_saved_hooks(text: Option<String>) -> PyResult<Option<String>> {
    if let Some(text) = &text
        && has_saved_hooks()
    {
        return Err(PyRuntimeError::new_err(text.clone()));
    }
    Ok(REFUSAL.with_borrow_mut(|current| std::mem::replace(current, text)))
}

/// The value of now: later writes to the tensor do not reach it. It is copied when it is written, not here.
#[pyfunction]
pub fn snapshot(py: Python<'_>, t: &Bound<'_, PyTensor>) -> PyResult<Py<PyAny>> {
    crate::overrides::check_values(t.as_any())?;
    PyTensor::wrap(py, t.get().tensor().snapshot().py()?)
}

/// Counts a write to each tensor.
#[pyfunction]
pub fn increment_version(tensors: Vec<Bound<'_, PyTensor>>) {
    tensors.iter().for_each(|t| t.get().get().bump_version());
}

/// The number of the backward pass that runs on this thread.
#[pyfunction]
pub fn backward_pass() -> Option<u64> {
    current_pass()
}

/// Whether the backward pass that runs on this thread computes the gradient of a tensor.
#[pyfunction]
pub fn backward_pass_reaches(t: &Bound<'_, PyTensor>) -> bool {
    pass_reaches(&t.get().tensor())
}

// Function.

/// The backward rule of an `autograd.Function`: calls `context.apply_backward(grads)`.
pub struct PyRule {
    pub context: Py<PyAny>,
}

impl CustomRule for PyRule {
    fn backward(&self, vjp: &Vjp) -> CoreResult<Grads> {
        Python::attach(|py| {
            let out = self.context.call_method1(py, "_run_backward", (grads_tuple(py, vjp.grads)?,))?;
            Ok(optional_tensors(out.bind(py))?.into_iter().collect())
        })
        .map_err(from_py)
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// Attaches the gradient node of a `Function` to its outputs. Outputs that are inputs themselves must have been replaced
/// by aliases. The node keeps `saved`, so that these are freed with it, and so that an output saved by its own function is
/// no cycle.
#[pyfunction]
pub fn attach_function(
    name: String,
    context: Py<PyAny>,
    inputs: &Bound<'_, PyAny>,
    outputs: &Bound<'_, PyAny>,
    saved: &Bound<'_, PyAny>,
) -> PyResult<FunctionNode> {
    let inputs = tensors(inputs)?;
    let outputs = tensors(outputs)?;
    let saved = tensors(saved)?;
    saved.iter().try_for_each(Saved::check).py()?;
    let edges = inputs.iter().map(|t| if t.dtype().is_differentiable() { t.gradient_edge() } else { None }).collect();
    let metas = outputs.iter().map(GradMeta::of).collect();
    let rule = Rule::Custom(Arc::new(PyRule { context }));
    let node = Arc::new(GradNode::new(intern(name), rule, edges, metas));
    for (i, o) in outputs.iter().enumerate() {
        if o.dtype().is_differentiable() {
            if o.base().is_some() {
                o.set_origin(Origin::Custom);
            }
            let mut s = o.meta_or_init().state();
            s.grad_fn = Some(GradEdge { node: node.clone(), output: i as u32 });
            s.requires_grad = false;
            drop(s);
            o.history_is_current();
        }
    }
    let keep = |t: &Tensor| match outputs.iter().position(|o| o.ptr_eq(t)) {
        Some(i) if t.dtype().is_differentiable() => Saved::output(t, i as u32),
        _ => Saved::input(t),
    };
    node.save(saved.iter().map(keep).collect()).py()?;
    let saved = saved.iter().map(Tensor::downgrade).collect();
    Ok(FunctionNode { node: Arc::downgrade(&node), saved })
}

/// Names of user functions live as long as the process; there are few.
fn intern(name: String) -> &'static str {
    static NAMES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut names = lock(&NAMES);
    if let Some(n) = names.iter().find(|n| **n == name) {
        return n;
    }
    let leaked: &'static str = Box::leak(name.into_boxed_str());
    names.push(leaked);
    leaked
}

/// The graph's node of an `autograd.Function`, for its context. It does not keep the node alive, because the node keeps
/// the context.
#[pyclass(frozen)]
pub struct FunctionNode {
    node: std::sync::Weak<GradNode>,
    saved: Vec<WeakTensor>,
}

impl FunctionNode {
    fn alive(&self) -> PyResult<Arc<GradNode>> {
        let gone = || PyRuntimeError::new_err("the gradient graph of this function is gone: its outputs were deleted");
        self.node.upgrade().ok_or_else(gone)
    }
}

#[pymethods]
impl FunctionNode {
    /// The node itself, where `grad_fn` shows the context.
    fn node(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        PyNode::wrap(py, self.alive()?)
    }
    /// What `save_for_backward` kept, with version checks.
    fn unpack(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let node = self.alive()?;
        let values = node.unpack_saved().py()?;
        // The very same tensors if they still live, so that identity holds; what hooks unpacked are others.
        let packed = node.is_packed();
        let known = |weak: &WeakTensor| weak.upgrade().filter(|_| !packed);
        let same = values.into_iter().zip(&self.saved).map(|(fresh, weak)| known(weak).unwrap_or(fresh));
        let objects: Vec<Py<PyAny>> = same.map(|t| PyTensor::wrap(py, t)).collect::<PyResult<_>>()?;
        Ok(PyTuple::new(py, objects)?.into_any().unbind())
    }
}

/// The edge that a tensor's gradient arrives at, as (node, output number).
#[pyfunction]
pub fn gradient_edge(py: Python<'_>, t: &Bound<'_, PyTensor>) -> PyResult<(Py<PyAny>, u32)> {
    let Some(edge) = t.get().get().gradient_edge() else {
        return Err(PyRuntimeError::new_err("this tensor does not require grad"));
    };
    let nr = edge.output;
    let node = node_object(py, Some(edge))?;
    Ok((node.unwrap_or_else(|| py.None()), nr))
}
