//! Doing again what a captured function did, with other arguments and the values that storages hold now.

use crate::capture::{ArgSpec, CellRef, Event, In, MetaRef, Read, Start, Surroundings, Trace, Wanted, cell_of, moved};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::exec::record::record_again;
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
        cells: Vec::with_capacity(trace.own_cells()),
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
    streams: Vec<[(u64, u64); 2]>,
    /// The storages of gradients, as they were when the replay began.
    before: Vec<(MetaRef, Arc<Cell>)>,
}

impl Replay<'_> {
    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings { args: self.args, cells: &self.cells, shifts: &self.shifts }
    }

    fn cell(&self, name: &CellRef) -> Result<Arc<Cell>> {
        if let CellRef::Grad(m) = name
            && let Some((_, cell)) = self.before.iter().find(|(other, _)| other.is(m))
        {
            return Ok(cell.clone());
        }
        self.surroundings().cell(name)
    }

    /// Looks at all that is read before the first part that runs each time, which may change it; whether it is as the
    /// capture saw it.
    fn find_values(&mut self) -> Result<bool> {
        let trace = self.trace;
        for start in &trace.starts {
            if let Some(g) = &start.meta.of(self.args).state().grad {
                self.before.push((start.meta.clone(), g.cell().clone()));
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
        Ok(true)
    }

    fn load(&mut self, name: &CellRef, slot: u32, same: Option<u32>, spec: &OutSpec, written: bool) -> Result<bool> {
        let value = self.cell(name)?.peek();
        let found = &value.node.outs[value.out as usize];
        if written && !(found.dtype == spec.dtype && *found.layout == *spec.layout) {
            return Ok(false);
        }
        if let Some(other) = same.and_then(|s| self.values[s as usize].value.as_ref())
            && !(Arc::ptr_eq(&other.node, &value.node) && other.out == value.out)
        {
            return Ok(false);
        }
        let shift = if let CellRef::Arg(i) = name { self.shifts[*i as usize] } else { 0 };
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
            Event::Node { .. } => self.node(event)?,
            Event::Constant(value, slot) => self.put(*slot, value.clone()),
            Event::Made(make, slot) => {
                let value = (make.0)()?.cell().peek();
                self.put(*slot, value);
            }
            Event::Stream(reserve) => {
                let old = self.trace.streams[self.streams.len()];
                self.streams.push([old, (reserve.0)()]);
            }
            Event::Check(check, r) => {
                let Edge { node, out, dtype, layout } = self.edge(r)?;
                let cell = cell_of(&Value { node, out });
                (check.0)(&Tensor::assemble(cell, layout, dtype, None, None))?;
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
                let (cell, value) = (self.cell(cell)?, self.value(*slot)?);
                cell.set(value);
                cell.bump_version();
                if cell.is_pinned() {
                    exec::flush()?;
                }
            }
            Event::Grad(meta, wanted) => self.set_grad(&meta.of(self.args), wanted.as_ref())?,
            Event::Host(number) => host(*number)?,
        }
        Ok(())
    }

    fn node(&mut self, event: &Event) -> Result<()> {
        let Event::Node { op, inputs, outs, device, first, stream } = event else { return Ok(()) };
        let mut given = Inputs::new();
        for input in inputs {
            given.push(match input {
                In::Value(r) => Input::Tensor(self.edge(r)?),
                In::Number(bits, dtype) => Input::Scalar(*bits, *dtype),
            });
        }
        if let Some(k) = stream {
            let [_, (seed, offset)] = self.streams[*k as usize];
            for (input, bits) in given.iter_mut().zip([seed, offset]) {
                *input = Input::Scalar(bits, DType::I64);
            }
        }
        let node = record_again(op.clone(), given, outs.clone(), *device)?;
        for out in 0..outs.len() {
            self.put(first + out as u32, Value { node: node.clone(), out: out as u8 });
        }
        Ok(())
    }

    fn set_grad(&self, meta: &Arc<AutogradMeta>, wanted: Option<&Wanted>) -> Result<()> {
        // Nothing to do where the function only wrote into the gradient that it found.
        if let (Some(w), Some(g)) = (wanted, &meta.state().grad)
            && Arc::ptr_eq(&self.cell(&w.cell)?, g.cell())
        {
            return Ok(());
        }
        let new = wanted.map(|w| self.surroundings().tensor(&[], w)).transpose()?;
        meta.set_grad(new);
        Ok(())
    }

    fn outputs(&self) -> Result<Vec<Tensor>> {
        let around = self.surroundings();
        let steps: Vec<Arc<GradNode>> = around.steps(&self.trace.history)?;
        if !self.streams.is_empty() {
            let streams: Streams = Arc::new(self.streams.clone());
            for step in &steps {
                let _ = step.streams.set(streams.clone());
            }
        }
        self.trace.outputs.iter().map(|w| around.tensor(&steps, w)).collect()
    }
}
