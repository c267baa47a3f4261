//! A global allocator that counts: how much is allocated now, and how much was at most.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;

use critical_section::Mutex;

/// Bytes asked for, without what the allocator adds to each block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Allocated now, in bytes.
    pub current: usize,
    /// The most that was allocated at any one time since the last [`CountingHeap::reset_peak`], in bytes.
    pub peak: usize,
}

/// Any allocator, with its use counted. A reallocation counts as the inner allocator's default does it:
/// new block, copy, old block freed, so both are in the peak.
pub struct CountingHeap<A> {
    inner: A,
    usage: Mutex<Cell<Usage>>,
}

impl<A> CountingHeap<A> {
    pub const fn new(inner: A) -> Self {
        let usage = Usage {
            current: 0,
            peak: 0,
        };
        Self {
            inner,
            usage: Mutex::new(Cell::new(usage)),
        }
    }

    /// The allocator inside, to set it up.
    pub fn inner(&self) -> &A {
        &self.inner
    }

    pub fn usage(&self) -> Usage {
        critical_section::with(|cs| self.usage.borrow(cs).get())
    }

    /// Starts a new measurement: the peak becomes what is allocated now.
    pub fn reset_peak(&self) {
        self.update(|usage| usage.peak = usage.current);
    }

    fn update(&self, change: impl FnOnce(&mut Usage)) {
        critical_section::with(|cs| {
            let cell = self.usage.borrow(cs);
            let mut usage = cell.get();
            change(&mut usage);
            cell.set(usage);
        });
    }
}

// SAFETY: every block comes from the inner allocator and goes back to it with the layout it came with.
unsafe impl<A: GlobalAlloc> GlobalAlloc for CountingHeap<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is passed on.
        let block = unsafe { self.inner.alloc(layout) };
        if !block.is_null() {
            self.update(|usage| {
                usage.current += layout.size();
                usage.peak = usage.peak.max(usage.current);
            });
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise about `block` and `layout` is passed on.
        unsafe { self.inner.dealloc(block, layout) };
        self.update(|usage| usage.current -= layout.size());
    }
}
