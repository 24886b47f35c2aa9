//! Steps of the gradient graph as Python objects: one class per name, one object per node while it lives.

use crate::autograd::{HookHandle, PyRule, register_node_hook, register_node_prehook};
use crate::tensor::PyTensor;
use corten_core::grad::{GradEdge, GradNode, Rule};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType, PyWeakrefMethods, PyWeakrefReference};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A step of the gradient graph (`tensor.grad_fn`). Objects are of subclasses, named as the steps are.
#[pyclass(frozen, subclass, name = "Node", module = "corten.autograd.graph", weakref)]
pub struct PyNode(pub Arc<GradNode>);

/// What a node keeps of its Python side.
struct Binding {
    object: Mutex<Option<Py<PyWeakrefReference>>>,
    metadata: PyOnceLock<Py<PyDict>>,
}

fn binding(node: &GradNode) -> Option<&Binding> {
    let new = || Box::new(Binding { object: Mutex::default(), metadata: PyOnceLock::new() });
    node.binding.get_or_init(|| new()).downcast_ref()
}

thread_local! {
    /// The node for the object that is being made: Python code has no other way to make one.
    static NEXT: RefCell<Option<Arc<GradNode>>> = const { RefCell::new(None) };
}

/// The object of the node that an edge leads to.
pub fn node_object(py: Python<'_>, edge: Option<GradEdge>) -> PyResult<Option<Py<PyAny>>> {
    edge.map(|edge| match &edge.node.rule {
        Rule::Custom(c) if let Some(f) = c.as_any().downcast_ref::<PyRule>() => Ok(f.context.clone_ref(py)),
        _ => PyNode::wrap(py, edge.node),
    })
    .transpose()
}

/// The subclass of `Node` for a name.
fn class<'py>(py: Python<'py>, name: &'static str) -> PyResult<Bound<'py, PyType>> {
    static CLASSES: Mutex<Option<HashMap<&'static str, Py<PyType>>>> = Mutex::new(None);
    let known = |name| {
        let classes = CLASSES.lock().unwrap_or_else(PoisonError::into_inner);
        classes.as_ref().and_then(|c| c.get(name).map(|class| class.clone_ref(py)))
    };
    if let Some(class) = known(name) {
        return Ok(class.into_bound(py));
    }
    let attributes = PyDict::new(py);
    attributes.set_item("__slots__", PyTuple::empty(py))?;
    attributes.set_item("__module__", "builtins")?;
    let made = py.get_type::<PyType>().call1((name, (py.get_type::<PyNode>(),), attributes))?.cast_into::<PyType>()?;
    let mut classes = CLASSES.lock().unwrap_or_else(PoisonError::into_inner);
    classes.get_or_insert_default().insert(name, made.clone().unbind());
    Ok(made)
}

impl PyNode {
    /// The Python object of a node: the living one, or a new one.
    pub fn wrap(py: Python<'_>, node: Arc<GradNode>) -> PyResult<Py<PyAny>> {
        let slot = binding(&node).map(|b| &b.object);
        let living = slot.and_then(|s| {
            let reference = s.lock().unwrap_or_else(PoisonError::into_inner);
            reference.as_ref().and_then(|r| r.bind(py).upgrade())
        });
        if let Some(object) = living {
            return Ok(object.unbind());
        }
        let class = class(py, node.name)?;
        NEXT.set(Some(node.clone()));
        let object = class.call0();
        NEXT.set(None);
        let object = object?;
        let reference = PyWeakrefReference::new(&object)?.unbind();
        let old =
            binding(&node).and_then(|b| b.object.lock().unwrap_or_else(PoisonError::into_inner).replace(reference));
        drop(old);
        Ok(object.unbind())
    }
}

#[pymethods]
impl PyNode {
    #[new]
    #[classmethod]
    fn new(cls: &Bound<'_, PyType>) -> PyResult<PyNode> {
        match NEXT.take() {
            Some(node) => Ok(PyNode(node)),
            None => Err(PyTypeError::new_err(format!("cannot create '{}' instances", cls.name()?))),
        }
    }
    /// The step's name; nodes that are no operator's have their namespace before it.
    fn name(&self) -> String {
        match self.0.name {
            own @ ("AccumulateGrad" | "CopySlices" | "CopyBackwards") => format!("corten::autograd::{own}"),
            name => name.to_owned(),
        }
    }
    fn __repr__(slf: &Bound<'_, Self>) -> String {
        format!("<{} object at {:#x}>", slf.get().0.name, slf.as_ptr() as usize)
    }
    /// Pairs of (node, output number), `None` where no gradient is needed.
    #[getter]
    fn next_functions(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let pairs = self.0.edges.iter().map(|e| {
            let nr = e.as_ref().map_or(0, |e| e.output);
            Ok((node_object(py, e.clone())?, nr))
        });
        Ok(PyTuple::new(py, pairs.collect::<PyResult<Vec<_>>>()?)?.into_any().unbind())
    }
    /// The leaf of an accumulator.
    #[getter]
    fn variable(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match &self.0.rule {
            Rule::Accumulate(leaf) => leaf.tensor.upgrade().map(|t| PyTensor::wrap(py, t)).transpose(),
            _ => Ok(None),
        }
    }
    /// A dict for whatever belongs to the node; it lives as long as the graph does.
    #[getter]
    fn metadata(&self, py: Python<'_>) -> Option<Py<PyDict>> {
        binding(&self.0).map(|b| b.metadata.get_or_init(py, || PyDict::new(py).unbind()).clone_ref(py))
    }
    /// True: steps without a gradient have no node.
    #[getter]
    fn requires_grad(&self) -> bool {
        true
    }
    fn _sequence_nr(&self) -> u64 {
        self.0.sequence
    }
    /// Calls `hook(input_grads, output_grads)` after the step; a returned tuple replaces the former.
    fn register_hook(&self, hook: Py<PyAny>) -> HookHandle {
        register_node_hook(&self.0, hook)
    }
    /// Calls `hook(output_grads)` before the step; a returned tuple replaces them.
    fn register_prehook(&self, hook: Py<PyAny>) -> HookHandle {
        register_node_prehook(&self.0, hook)
    }
    fn __hash__(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<PyNode>().is_ok_and(|o| Arc::ptr_eq(&o.get().0, &self.0))
    }
}
