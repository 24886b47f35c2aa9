//! `corten._core`: the engine for Python. Conversions, errors and the interpreter's lock live here; mathematics does not.

mod args;
mod autograd;
mod capture;
mod checks;
mod create;
mod debug;
mod dispatch;
mod dlpack;
mod error;
mod facts;
mod formats;
mod gpu;
mod indexing;
mod kernel;
mod memory;
mod nodes;
mod ops;
mod optim;
mod out;
mod overrides;
mod profile;
mod random;
mod shared;
mod slots;
mod step_names;
mod storage;
mod table;
mod tensor;
mod types;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    use super::*;

    #[pymodule_export]
    use crate::autograd::{
        FunctionNode, HookHandle, anomaly_mode, attach_function, backward_pass, backward_pass_reaches,
        enter_saved_hooks, gradient_edge, increment_version, is_grad_enabled, is_inference_mode_enabled,
        leave_saved_hooks, refuse_saved_hooks, run_backward, set_anomaly_mode, set_grad_enabled, set_inference_mode,
        snapshot,
    };
    #[pymodule_export]
    use crate::capture::{
        PyTrace, capture_abandon, capture_begin, capture_finish, capture_host, capture_open, capture_refuse, capturing,
    };
    #[pymodule_export]
    use crate::create::tensor;
    #[pymodule_export]
    use crate::debug::{
        after_fork_in_child, build_profile, counters, empty_cache, get_default_dtype, get_num_threads, get_option,
        promote_types, reset_peak, result_type, set_default_dtype, set_num_threads, set_option, set_size_class,
        simd_level,
    };
    #[pymodule_export]
    use crate::dispatch::{op_names, op_signatures, set_named_results};
    #[pymodule_export]
    use crate::dlpack::{from_dlpack_capsule, to_dlpack};
    #[pymodule_export]
    use crate::error::{InternalError, OutOfMemoryError};
    #[pymodule_export]
    use crate::facts::{PyTensorFacts, bump_rebinds, facts_hold, rebinds};
    #[pymodule_export]
    use crate::gpu::{
        gpu_count, gpu_counters, gpu_empty_cache, gpu_info, gpu_keep_shaders, gpu_lose, gpu_reset_peak, gpu_synchronize,
    };
    #[pymodule_export]
    use crate::kernel::PyKernel;
    #[pymodule_export]
    use crate::memory::{
        alias_tensor, from_numpy, storage_bytes, storage_id, storage_nbytes, tensor_from_bytes, to_numpy,
    };
    #[pymodule_export]
    use crate::nodes::PyNode;
    #[pymodule_export]
    use crate::optim::{adam_step, drop_gradients, sgd_step};
    #[pymodule_export]
    use crate::overrides::{
        call_override, function_modes, override_level, overrides_begin, overrides_operators, overriding_arguments,
        pop_function_mode, push_function_mode, set_disabled_override, set_override_level,
    };
    #[pymodule_export]
    use crate::profile::{profile_clock, profile_start, profile_stop};
    #[pymodule_export]
    use crate::random::{
        GpuGenerators, PyGenerator, get_rng_state, gpu_generator, initial_seed, manual_seed, seed, seed_gpus,
        set_rng_state,
    };
    #[pymodule_export]
    use crate::storage::{
        buffer_tensor, is_page_locked, is_shared, lock_pages, move_storage, resize_storage, storage_part,
    };
    #[pymodule_export]
    use crate::tensor::{PyTensor, flush, synchronize};
    #[pymodule_export]
    use crate::types::{
        PyDType, PyDevice, PyFormat, PyLayout, chosen_device, current_gpu_index, get_default_device, set_current_gpu,
        set_default_device,
    };

    #[pymodule_init]
    fn init(m: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = m.py();
        debug::install_hooks();
        for d in corten_core::dtype::DType::ALL {
            m.add(d.name(), types::dtype_object(py, d)?)?;
        }
        for f in types::format_objects(py)? {
            m.add(f.get().0.name(), f.clone_ref(py))?;
        }
        m.add("strided", Py::new(py, PyLayout)?)?;
        m.add("default_generator", random::default_object(py)?)?;
        let ops = PyModule::new(py, "ops")?;
        dispatch::install(py, &ops, table::rows())?;
        overrides::set_functions(&ops);
        m.add_submodule(&ops)?;
        py.import("atexit")?.call_method1("register", (m.getattr("gpu_keep_shaders")?,))?;
        Ok(())
    }
}
