//! Doing again what a captured function did, with other arguments and the values that storages hold now.

use crate::capture::{
    ArgSpec, CellRef, Event, In, MetaRef, Operation, Read, Start, Surroundings, Trace, Wanted, cell_of, moved,
};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::exec::record;
use crate::grad::{AutogradMeta, GradNode, Streams};
use crate::graph::{Cell, Edge, Input, Inputs, OutSpec, Value};
use crate::tensor::Tensor;
use crate::{ensure, exec};
use smallvec::SmallVec;
use std::sync::Arc;

/// Does it again; `host` runs the parts that run each time. `None`, with nothing done, where the arguments or what the
/// function finds differ from what the capture saw.
pub fn replay(trace: &Trace, args: &[Tensor], host: &mut dyn FnMut(u32) -> Result<()>) -> Result<Option<Vec<Tensor>>> {
    let fits = trace.args.len() == args.len()
        && trace.args.iter().enumerate().all(|(i, a)| a.admits(i, args))
        && args.iter().all(|t| !trace.outside.contains(&(Arc::as_ptr(t.cell()) as usize)))
        && trace.starts.iter().all(|s| begins_so(s, args));
    if !fits {
        return Ok(None);
    }
    let shift = |(spec, t): (&ArgSpec, &Tensor)| t.layout().offset.wrapping_sub(spec.layout.offset).cast_signed();
    let shifts: SmallVec<[isize; 8]> = trace.args.iter().zip(args).map(shift).collect();
    let mut replay = Replay {
        trace,
        args,
        shifts,
        values: vec![Slot::default(); trace.slots as usize],
        cells: Vec::with_capacity(trace.own_cells),
        tensors: vec![None; trace.tensors.len()],
        streams: Vec::with_capacity(trace.streams.len()),
        before: Vec::new(),
    };
    if !replay.find_values()? {
        return Ok(None);
    }
    for (at, event) in trace.events.iter().enumerate() {
        replay.step(event, host)?;
        for &slot in &trace.done[at] {
            replay.values[slot as usize].value = None;
        }
    }
    replay.outputs().map(Some)
}

fn begins_so(start: &Start, args: &[Tensor]) -> bool {
    let meta = start.meta.of(args);
    let state = meta.state();
    match (&start.grad, &state.grad) {
        (None, None) => true,
        (Some((dtype, layout)), Some(g)) => g.dtype() == *dtype && **g.layout() == **layout && !g.requires_grad(),
        _ => false,
    }
}

#[derive(Clone, Default)]
struct Slot {
    value: Option<Value>,
    /// How far windows on it have moved since the capture.
    shift: isize,
}

struct Replay<'a> {
    trace: &'a Trace,
    args: &'a [Tensor],
    shifts: SmallVec<[isize; 8]>,
    values: Vec<Slot>,
    cells: Vec<Arc<Cell>>,
    /// The tensors that are left behind, as far as they are made.
    tensors: Vec<Option<Tensor>>,
    streams: Vec<[(u64, u64); 2]>,
    /// The gradients that there were when the replay began, as far as they are needed.
    before: Vec<(MetaRef, Tensor)>,
}

impl Replay<'_> {
    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings { args: self.args, cells: &self.cells, shifts: &self.shifts, before: &self.before }
    }

    /// Looks at all that is read before the first part that runs each time, which may change it; whether it is as the
    /// capture saw it.
    fn find_values(&mut self) -> Result<bool> {
        let (trace, mut kept) = (self.trace, Vec::new());
        for start in &trace.starts {
            if let Some(g) = &start.meta.of(self.args).state().grad {
                let reached = |t: &Tensor| Arc::ptr_eq(t.cell(), g.cell());
                let twice = self.before.iter().any(|(_, b)| reached(b)) || self.args.iter().any(reached);
                if twice || trace.outside.contains(&(Arc::as_ptr(g.cell()) as usize)) {
                    return Ok(false);
                }
                self.before.push((start.meta.clone(), g.clone()));
                kept.push(start.kept);
            }
        }
        let early = trace.events.iter().take_while(|e| !matches!(e, Event::Host(_)));
        for event in early {
            if let Event::Load { cell, slot, same, spec, written } = event
                && !matches!(cell, CellRef::Own(_))
                && !self.load(cell, *slot, *same, spec, *written)?
            {
                return Ok(false);
            }
        }
        // The others' memory is free for what comes.
        let mut kept = kept.into_iter();
        self.before.retain(|_| kept.next().unwrap_or(true));
        Ok(true)
    }

    fn load(&mut self, name: &CellRef, slot: u32, same: Option<u32>, spec: &OutSpec, written: bool) -> Result<bool> {
        let around = self.surroundings();
        let (value, shift) = (around.cell(name)?.peek(), around.shift(name));
        let found = &value.node.outs[value.out as usize];
        if written && !(found.dtype == spec.dtype && *found.layout == *spec.layout) {
            return Ok(false);
        }
        if let Some(other) = same.and_then(|s| self.values[s as usize].value.as_ref())
            && !other.is(&value)
        {
            return Ok(false);
        }
        self.values[slot as usize] = Slot { value: Some(value), shift };
        Ok(true)
    }

    fn value(&self, slot: u32) -> Result<Value> {
        let missing = || Error::Internal("a replay reads a value that it has not made".into());
        self.values[slot as usize].value.clone().ok_or_else(missing)
    }

    fn edge(&self, r: &Read) -> Result<Edge> {
        let Value { node, out } = self.value(r.slot)?;
        Ok(Edge { node, out, dtype: r.dtype, layout: moved(&r.layout, self.values[r.slot as usize].shift) })
    }

    fn put(&mut self, slot: u32, value: Value) {
        self.values[slot as usize] = Slot { value: Some(value), shift: 0 };
    }

    fn step(&mut self, event: &Event, host: &mut dyn FnMut(u32) -> Result<()>) -> Result<()> {
        match event {
            Event::Node(o) => self.operation(o)?,
            Event::Constant(value, slot) => self.put(*slot, value.clone()),
            Event::Made(make, slot) => {
                let value = make()?.cell().peek();
                self.put(*slot, value);
            }
            Event::Stream(reserve) => {
                let old = self.trace.streams[self.streams.len()];
                self.streams.push([old, reserve()]);
            }
            Event::Check(check, r) => {
                let Edge { node, out, dtype, layout } = self.edge(r)?;
                let cell = cell_of(&Value { node, out });
                check(&Tensor::assemble(cell, layout, dtype, None, None))?;
            }
            Event::Load { cell, slot, same, spec, written } => {
                // What was read before the first part that runs each time has its value already.
                if self.values[*slot as usize].value.is_none() {
                    let fits = self.load(cell, *slot, *same, spec, *written)?;
                    ensure!(
                        fits,
                        Runtime,
                        "what the compiled function reads after an optimizer's step is not laid out as it was when it was compiled; corten.compiler.reset() compiles it anew"
                    );
                }
            }
            Event::Cell(slot) => {
                let cell = cell_of(&self.value(*slot)?);
                self.cells.push(cell);
            }
            Event::Write { cell, slot } => {
                let (cell, value) = (self.surroundings().cell(cell)?, self.value(*slot)?);
                cell.set(value);
                cell.bump_version();
                if cell.is_pinned() {
                    exec::flush()?;
                }
            }
            Event::Grad(meta, wanted) => self.set_grad(&meta.of(self.args), *wanted)?,
            Event::Host(number) => host(*number)?,
        }
        Ok(())
    }

    fn operation(&mut self, o: &Operation) -> Result<()> {
        let mut given = Inputs::new();
        for input in &o.inputs {
            given.push(match input {
                In::Value(r) => Input::Tensor(self.edge(r)?),
                In::Number(bits, dtype) => Input::Scalar(*bits, *dtype),
            });
        }
        if let Some(k) = o.stream {
            let [_, (seed, offset)] = self.streams[k as usize];
            for (input, bits) in given.iter_mut().zip([seed, offset]) {
                *input = Input::Scalar(bits, DType::I64);
            }
        }
        let node = record::add(o.op.clone(), given, o.outs.clone(), o.device)?;
        for out in 0..o.outs.len() {
            self.put(o.first + out as u32, Value { node: node.clone(), out: out as u8 });
        }
        Ok(())
    }

    fn set_grad(&mut self, meta: &Arc<AutogradMeta>, wanted: Option<u32>) -> Result<()> {
        let new = wanted.map(|w| self.tensor(w, &[])).transpose()?;
        meta.set_grad(new);
        Ok(())
    }

    /// One of the tensors that are left behind, made now if it was not before.
    fn tensor(&mut self, number: u32, steps: &[Arc<GradNode>]) -> Result<Tensor> {
        if let Some(t) = &self.tensors[number as usize] {
            return Ok(t.clone());
        }
        let missing = || Error::Internal("a tensor that a replay needs is not there".into());
        let trace = self.trace;
        let t = match &trace.tensors[number as usize] {
            Wanted::Arg(i) => self.args[*i as usize].clone(),
            Wanted::BaseOfArg(i) => self.args[*i as usize].base().cloned().ok_or_else(missing)?,
            Wanted::Grad(m) => self.surroundings().grad(m)?.clone(),
            Wanted::Known(t) => t.clone(),
            Wanted::New(w) => {
                let base = w.base.map(|b| self.tensor(b, steps)).transpose()?;
                self.surroundings().tensor(steps, w, base)?
            }
        };
        self.tensors[number as usize] = Some(t.clone());
        Ok(t)
    }

    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        let steps: Vec<Arc<GradNode>> = self.surroundings().steps(&self.trace.history)?;
        if !self.streams.is_empty() {
            let streams: Streams = Arc::new(self.streams.clone());
            for step in &steps {
                let _ = step.streams.set(streams.clone());
            }
        }
        self.trace.outputs.iter().map(|&w| self.tensor(w, &steps)).collect()
    }
}
