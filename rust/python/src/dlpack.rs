//! DLPack, the exchange of tensors between frameworks on one memory: https://dmlc.github.io/dlpack/latest/c_api.html.
//! Both forms of its capsules are read and written: the first, and the versioned one, which says whether memory may be
//! written.

use crate::memory::{outside, pin};
use crate::tensor::PyTensor;
use corten_core::dtype::DType;
use corten_core::graph::Buffer;
use corten_core::shape::{Dims, Layout};
use pyo3::exceptions::{PyBufferError, PyRuntimeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use std::ffi::{CStr, c_void};
use std::sync::Arc;

#[repr(C)]
struct Device {
    kind: i32,
    id: i32,
}
#[repr(C)]
struct ElementType {
    code: u8,
    bits: u8,
    lanes: u16,
}
#[repr(C)]
struct Described {
    data: *mut c_void,
    device: Device,
    ndim: i32,
    dtype: ElementType,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}
#[repr(C)]
struct Managed {
    tensor: Described,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Managed)>,
}
#[repr(C)]
struct Versioned {
    major: u32,
    minor: u32,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Versioned)>,
    flags: u64,
    tensor: Described,
}

const CPU: i32 = 1;
/// The version of the interface written here; readers accept any version with this first number.
const VERSION: (u32, u32) = (1, 0);
const FLAG_COPIED: u64 = 2;

/// A form of the exchanged structure: its capsule's names before and after it was taken over, and its parts.
trait Form: Sized + 'static {
    const NAME: &'static CStr;
    const USED: &'static CStr;
    fn make(tensor: Described, copied: bool) -> Self;
    fn set_context(&mut self, context: *mut c_void);
    fn context(&self) -> *mut c_void;
    fn tensor(&self) -> &Described;
    /// Lets the producer free the structure.
    ///
    /// # Safety
    /// `m` is a structure that was not freed yet.
    unsafe fn free(m: *mut Self);
}

impl Form for Managed {
    const NAME: &'static CStr = c"dltensor";
    const USED: &'static CStr = c"used_dltensor";
    fn make(tensor: Described, _copied: bool) -> Self {
        Managed { tensor, context: std::ptr::null_mut(), deleter: Some(free_export::<Managed>) }
    }
    fn set_context(&mut self, context: *mut c_void) {
        self.context = context;
    }
    fn context(&self) -> *mut c_void {
        self.context
    }
    fn tensor(&self) -> &Described {
        &self.tensor
    }
    unsafe fn free(m: *mut Self) {
        // SAFETY: the caller's.
        unsafe {
            if let Some(f) = (*m).deleter {
                f(m);
            }
        }
    }
}

impl Form for Versioned {
    const NAME: &'static CStr = c"dltensor_versioned";
    const USED: &'static CStr = c"used_dltensor_versioned";
    fn make(tensor: Described, copied: bool) -> Self {
        let flags = if copied { FLAG_COPIED } else { 0 };
        let (major, minor) = VERSION;
        let deleter = Some(free_export::<Versioned> as unsafe extern "C" fn(*mut Versioned));
        Versioned { major, minor, context: std::ptr::null_mut(), deleter, flags, tensor }
    }
    fn set_context(&mut self, context: *mut c_void) {
        self.context = context;
    }
    fn context(&self) -> *mut c_void {
        self.context
    }
    fn tensor(&self) -> &Described {
        &self.tensor
    }
    unsafe fn free(m: *mut Self) {
        // SAFETY: the caller's.
        unsafe {
            if let Some(f) = (*m).deleter {
                f(m);
            }
        }
    }
}

fn type_code(d: DType) -> u8 {
    match d {
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => 0,
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => 1,
        DType::F16 | DType::F32 | DType::F64 => 2,
        DType::BF16 => 4,
        DType::C32 | DType::C64 | DType::C128 => 5,
        DType::Bool => 6,
        DType::F8E4M3 => 10,
        DType::F8E4M3Fnuz => 11,
        DType::F8E5M2 => 12,
        DType::F8E5M2Fnuz => 13,
        DType::F8E8M0 => 14,
    }
}

/// An exported structure with what its pointers point to.
struct Export<F> {
    managed: F,
    _buffer: Arc<Buffer>,
    _shape: Vec<i64>,
    _strides: Vec<i64>,
}

unsafe extern "C" fn free_export<F: Form>(m: *mut F) {
    if !m.is_null() {
        // SAFETY: `context` is the box made in `export`, freed once by the consumer or the capsule.
        drop(unsafe { Box::from_raw((*m).context().cast::<Export<F>>()) });
    }
}

unsafe extern "C" fn free_capsule<F: Form>(capsule: *mut ffi::PyObject) {
    // SAFETY: called by the interpreter on our capsule; a consumer renames it when it takes over.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, F::NAME.as_ptr()) == 1 {
            free_export::<F>(ffi::PyCapsule_GetPointer(capsule, F::NAME.as_ptr()).cast());
        }
    }
}

fn export<F: Form>(py: Python<'_>, tensor: &Bound<'_, PyTensor>, copied: bool) -> PyResult<Py<PyAny>> {
    let t = tensor.get().tensor();
    if t.requires_grad() {
        return Err(PyBufferError::new_err("Can't export tensors that require gradient, use tensor.detach()"));
    }
    if t.device() == corten_core::device::Device::Meta {
        return Err(PyBufferError::new_err("Cannot pack tensors on meta"));
    }
    let buffer = pin(&t)?;
    let l = t.layout();
    let mut shape: Vec<i64> = l.shape.iter().map(|&s| s as i64).collect();
    let mut strides: Vec<i64> = l.strides.iter().map(|&s| s as i64).collect();
    let described = Described {
        data: (buffer.ptr() as usize + l.offset * t.dtype().size()) as *mut c_void,
        device: Device { kind: CPU, id: 0 },
        ndim: l.rank() as i32,
        dtype: ElementType { code: type_code(t.dtype()), bits: (t.dtype().size() * 8) as u8, lanes: 1 },
        shape: shape.as_mut_ptr(),
        strides: strides.as_mut_ptr(),
        byte_offset: 0,
    };
    let managed = F::make(described, copied);
    let raw = Box::into_raw(Box::new(Export { managed, _buffer: buffer, _shape: shape, _strides: strides }));
    // SAFETY: the box stays alive until its deleter runs; the capsule gets a valid pointer and name.
    unsafe {
        (*raw).managed.set_context(raw.cast());
        let managed: *mut F = &mut (*raw).managed;
        let capsule = ffi::PyCapsule_New(managed.cast(), F::NAME.as_ptr(), Some(free_capsule::<F>));
        Bound::from_owned_ptr_or_err(py, capsule).map(Bound::unbind)
    }
}

/// The tensor as a DLPack capsule on the same memory; `versioned` for consumers that know version 1.
#[pyfunction]
#[pyo3(signature = (tensor, versioned=false, copied=false))]
pub fn to_dlpack(py: Python<'_>, tensor: &Bound<'_, PyTensor>, versioned: bool, copied: bool) -> PyResult<Py<PyAny>> {
    if versioned { export::<Versioned>(py, tensor, copied) } else { export::<Managed>(py, tensor, copied) }
}

/// A structure taken over from its producer.
struct Imported<F: Form>(*mut F);
// SAFETY: only the deleter is called, once, on drop.
unsafe impl<F: Form> Send for Imported<F> {}
unsafe impl<F: Form> Sync for Imported<F> {}
impl<F: Form> Drop for Imported<F> {
    fn drop(&mut self) {
        // SAFETY: the producer's deleter on its own structure; exporters may need the interpreter's lock.
        Python::attach(|_| unsafe { F::free(self.0) });
    }
}

/// A tensor on the memory of a DLPack capsule, which is used up.
#[pyfunction]
pub fn from_dlpack_capsule(py: Python<'_>, capsule: &Bound<'_, PyCapsule>) -> PyResult<Py<PyAny>> {
    // SAFETY: any object may be asked.
    let versioned = unsafe { ffi::PyCapsule_IsValid(capsule.as_ptr(), Versioned::NAME.as_ptr()) == 1 };
    if !versioned {
        return import::<Managed>(py, capsule);
    }
    // SAFETY: a valid capsule of this name holds a valid structure.
    let (major, minor) = unsafe {
        let m = ffi::PyCapsule_GetPointer(capsule.as_ptr(), Versioned::NAME.as_ptr()).cast::<Versioned>();
        ((*m).major, (*m).minor)
    };
    if major != VERSION.0 {
        return Err(PyBufferError::new_err(format!(
            "from_dlpack: the capsule has version {major}.{minor} of the interface, known is {}",
            VERSION.0
        )));
    }
    import::<Versioned>(py, capsule)
}

fn import<F: Form>(py: Python<'_>, capsule: &Bound<'_, PyCapsule>) -> PyResult<Py<PyAny>> {
    // SAFETY: the name is checked by the call; the structure is the exporter's.
    let managed = unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), F::NAME.as_ptr()) }.cast::<F>();
    if managed.is_null() {
        let _ = PyErr::take(py);
        return Err(PyRuntimeError::new_err(
            "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once, so you might have already constructed a tensor from it once.",
        ));
    }
    // SAFETY: a valid capsule holds a valid structure.
    let d = unsafe { (*managed).tensor() };
    if d.device.kind != CPU {
        return Err(PyBufferError::new_err(format!("from_dlpack: unsupported device type {}", d.device.kind)));
    }
    let dtype = DType::ALL
        .into_iter()
        .find(|&t| type_code(t) == d.dtype.code && t.size() * 8 == d.dtype.bits as usize && d.dtype.lanes == 1)
        .ok_or_else(|| {
            PyBufferError::new_err(format!(
                "from_dlpack: unsupported element type: code {}, {} bits, {} lanes",
                d.dtype.code, d.dtype.bits, d.dtype.lanes
            ))
        })?;
    let layout = layout_of(d)?;
    let ptr = (d.data as usize + d.byte_offset as usize) as *mut u8;
    // SAFETY: renaming marks the capsule as used, so that its destructor leaves the structure to us.
    unsafe { ffi::PyCapsule_SetName(capsule.as_ptr(), F::USED.as_ptr()) };
    PyTensor::wrap(py, outside(ptr, dtype, layout, Box::new(Imported(managed))))
}

fn layout_of(d: &Described) -> PyResult<Layout> {
    let rank = d.ndim.max(0) as usize;
    let list = |p: *mut i64| -> Vec<i64> {
        // SAFETY: arrays of `ndim` entries, by the protocol.
        (0..rank).map(|i| unsafe { *p.add(i) }).collect()
    };
    let shape: Dims = list(d.shape).iter().map(|&s| s.max(0) as usize).collect();
    if d.strides.is_null() {
        return Ok(Layout::contiguous(shape));
    }
    let strides = list(d.strides);
    if strides.iter().zip(shape.iter()).any(|(&s, &n)| s < 0 && n > 1) {
        return Err(PyValueError::new_err("from_dlpack: negative strides are not supported"));
    }
    let strides = strides.iter().map(|&s| s.max(0) as usize).collect();
    Ok(Layout { shape, strides, offset: 0 })
}
