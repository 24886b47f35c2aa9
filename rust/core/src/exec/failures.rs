//! What failed: nodes whose kernel raised an error, and those that read them. They wait beside the pending work, so that
//! later flushes go on without them, until somebody reads one, which tries again, or nobody can any more.

use crate::error::Error;
use crate::graph::{Input, Node};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Marks `Node::slot` of a node that waits here; the other bits are its position.
const FAILED: u32 = 1 << 31;

/// Why nodes have no value. Those that failed together share it.
#[derive(Debug)]
pub struct Cause {
    pub error: Error,
    /// Trying again cannot help: what the kernel read is overwritten, or gone with its device.
    pub lost: bool,
    /// The kernel made other values too; without them it may succeed.
    pub shared: bool,
    /// Whether somebody got the error.
    told: AtomicBool,
}

impl Cause {
    pub fn new(error: Error, lost: bool, shared: bool) -> Arc<Cause> {
        Arc::new(Cause { error, lost, shared, told: AtomicBool::new(false) })
    }
}

#[derive(Debug)]
struct Failed {
    node: Arc<Node>,
    cause: Arc<Cause>,
}

/// The failed nodes of a recorder.
#[derive(Default, Debug)]
pub struct Failures(Vec<Failed>);

impl Failures {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether nobody outside can read any of them.
    pub fn is_unheld(&self) -> bool {
        self.0.iter().all(|f| Arc::strong_count(&f.node) == 1)
    }

    pub fn add(&mut self, node: Arc<Node>, cause: Arc<Cause>) {
        if cause.lost {
            node.release_inputs();
        }
        node.slot.store(FAILED | self.0.len() as u32, Relaxed);
        self.0.push(Failed { node, cause });
    }

    /// Lets go of what nobody can read any more, and with it of its inputs.
    pub fn drop_dead(&mut self) {
        // A dropped node may have been the last reader of others.
        while let Some(at) = self.0.iter().rposition(|f| self.is_dead(&f.node)) {
            for i in (0..=at).rev() {
                if self.is_dead(&self.0[i].node) {
                    self.0.remove(i);
                }
            }
            self.number();
        }
    }

    /// Whether only the list holds the node. One that is run for what it does is dead with what it reads.
    fn is_dead(&self, node: &Arc<Node>) -> bool {
        if !node.op.acts() {
            return Arc::strong_count(node) == 1;
        }
        let read_here = |n: &Arc<Node>| {
            let readers = self.0.iter().filter(|f| f.node.op.acts()).flat_map(|f| inputs(&f.node));
            readers.filter(|r| Arc::ptr_eq(r, n)).count() + usize::from(self.cause_of(n).is_some())
        };
        // `inputs` holds them as well.
        inputs(node).all(|n| Arc::strong_count(&n) == read_here(&n) + 1)
    }

    fn number(&self) {
        for (i, f) in self.0.iter().enumerate() {
            f.node.slot.store(FAILED | i as u32, Relaxed);
        }
    }

    fn cause_of(&self, node: &Node) -> Option<&Arc<Cause>> {
        let slot = node.slot.load(Relaxed);
        let waits = node.is_pending() && slot & FAILED != 0;
        self.0.get((slot & !FAILED) as usize).filter(|_| waits).map(|f| &f.cause)
    }

    /// Keeps those of `nodes`, in recorded order, that read nothing of what failed. The others have failed too.
    pub fn keep_unaffected(&mut self, nodes: &mut Vec<Arc<Node>>) {
        if self.0.is_empty() {
            return;
        }
        let mut renewed: Vec<(Arc<Cause>, Arc<Cause>)> = Vec::new();
        nodes.retain(|node| {
            let found = inputs(node).find_map(|n| self.cause_of(&n).cloned());
            let Some(mut cause) = found else { return true };
            // They fail now: somebody is told, also where the old failure is known.
            if cause.told.load(Relaxed) {
                let known = renewed.iter().find(|(old, _)| Arc::ptr_eq(old, &cause)).map(|(_, new)| new.clone());
                let new = known.unwrap_or_else(|| Cause::new(cause.error.clone(), cause.lost, cause.shared));
                renewed.push((cause, new.clone()));
                cause = new;
            }
            self.add(node.clone(), cause);
            false
        });
    }

    /// Takes out what has to run again for `target`, inputs before their readers: nothing, where that cannot help.
    pub fn take_behind(&mut self, target: &Arc<Node>) -> Vec<Arc<Node>> {
        let mut order: Vec<Arc<Node>> = Vec::new();
        if self.0.is_empty() {
            return order;
        }
        let mut seen: HashSet<*const Node> = HashSet::new();
        // A node is met twice: before its inputs and after them.
        let mut stack = vec![(target.clone(), false)];
        while let Some((node, done)) = stack.pop() {
            if done {
                order.extend(self.cause_of(&node).is_some().then_some(node));
                continue;
            }
            if !node.is_pending() || !seen.insert(Arc::as_ptr(&node)) {
                continue;
            }
            if self.cause_of(&node).is_some_and(|c| c.lost) {
                return Vec::new();
            }
            stack.push((node.clone(), true));
            stack.extend(inputs(&node).map(|n| (n, false)));
        }
        // What is run for what it does follows its inputs.
        for f in self.0.iter().filter(|f| f.node.op.acts()) {
            if inputs(&f.node)
                .all(|n| !n.is_pending() || (seen.contains(&Arc::as_ptr(&n)) && self.cause_of(&n).is_some()))
            {
                order.push(f.node.clone());
            }
        }
        let taken: HashSet<*const Node> = order.iter().map(Arc::as_ptr).collect();
        self.0.retain(|f| !taken.contains(&Arc::as_ptr(&f.node)));
        order.iter().for_each(|n| n.slot.store(0, Relaxed));
        self.number();
        order
    }

    /// Whether `target` failed in company and may succeed alone.
    pub fn may_do_alone(&self, target: &Node) -> bool {
        self.cause_of(target).is_some_and(|c| c.shared && !c.lost)
    }

    /// The error of `target`, which its reader is told with this.
    pub fn tell(&self, target: &Node) -> Option<Error> {
        self.cause_of(target).map(|c| {
            c.told.store(true, Relaxed);
            c.error.clone()
        })
    }

    /// The first error that nobody was told.
    pub fn tell_new(&self) -> Option<Error> {
        let mut first = None;
        for cause in self.0.iter().map(|f| &f.cause) {
            if !cause.told.swap(true, Relaxed) {
                first = first.or_else(|| Some(cause.error.clone()));
            }
        }
        first
    }
}

/// The nodes that a node reads.
fn inputs(node: &Node) -> impl Iterator<Item = Arc<Node>> {
    let nodes: smallvec::SmallVec<[Arc<Node>; 3]> = node
        .inputs()
        .iter()
        .filter_map(|input| match input {
            Input::Tensor(e) => Some(e.node.clone()),
            Input::Scalar(..) => None,
        })
        .collect();
    nodes.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::dtype::DType;
    use crate::graph::{Edge, OutSpec};
    use crate::op::{Ew, Op};
    use crate::shape::Layout;

    fn reader(inputs: &[&Arc<Node>]) -> Arc<Node> {
        let layout = Arc::new(Layout::contiguous(Default::default()));
        let edge = |n: &&Arc<Node>| {
            Input::Tensor(Edge { node: (*n).clone(), out: 0, dtype: DType::F32, layout: layout.clone() })
        };
        let outs = smallvec::smallvec![OutSpec { dtype: DType::F32, layout: layout.clone() }];
        let op = Op::Ew(Ew::Copy);
        Arc::new(Node::pending(op, inputs.iter().map(edge).collect(), outs, Device::Cpu, 1))
    }

    fn cause(lost: bool) -> Arc<Cause> {
        Cause::new(Error::Runtime("no".into()), lost, false)
    }

    fn same(found: &[Arc<Node>], wanted: &[&Arc<Node>]) -> bool {
        found.len() == wanted.len() && found.iter().zip(wanted).all(|(f, w)| Arc::ptr_eq(f, w))
    }

    #[test]
    fn inputs_run_again_before_their_readers_and_the_rest_stays() {
        let a = reader(&[]);
        let (b, c) = (reader(&[&a]), reader(&[&a]));
        let target = reader(&[&c, &a]);
        let mut failures = Failures::default();
        let why = cause(false);
        // The order in which tries that failed leave them.
        for node in [&c, &b, &a] {
            failures.add(node.clone(), why.clone());
        }
        assert!(same(&failures.take_behind(&target), &[&a, &c]));
        assert!(failures.tell(&b).is_some() && failures.tell(&a).is_none());
    }

    #[test]
    fn what_is_lost_does_not_run_again_and_keeps_no_memory() {
        let (a, other) = (reader(&[]), reader(&[]));
        let (b, target) = (reader(&[&a, &other]), reader(&[&other]));
        let mut failures = Failures::default();
        failures.add(other.clone(), cause(false));
        failures.add(b.clone(), cause(true));
        assert!(b.inputs().is_empty() && failures.take_behind(&b).is_empty());
        assert!(same(&failures.take_behind(&target), &[&other]));
    }

    #[test]
    fn an_error_is_told_once_and_again_to_new_readers() {
        let a = reader(&[]);
        let mut failures = Failures::default();
        failures.add(a.clone(), cause(false));
        let mut first = vec![reader(&[&a]), reader(&[])];
        failures.keep_unaffected(&mut first);
        assert!(first.len() == 1 && failures.tell_new().is_some() && failures.tell_new().is_none());
        failures.keep_unaffected(&mut vec![reader(&[&a])]);
        assert!(failures.tell_new().is_some() && failures.tell_new().is_none());
    }

    #[test]
    fn what_nobody_reads_is_dropped_whatever_the_order() {
        let a = reader(&[]);
        let b = reader(&[&a]);
        let c = reader(&[&b]);
        let mut failures = Failures::default();
        for node in [c, a, b] {
            failures.add(node, cause(false));
        }
        failures.drop_dead();
        assert!(failures.is_empty());
    }
}
