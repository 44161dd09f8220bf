;; Input of many megabytes for test_wasm.c, in a memory that grows to it.
(module
  (import "ramet" "output" (func $output (param i32 i32 i32)))
  (memory 1)
  (global $heap (mut i32) (i32.const 65536))
  (func (export "ramet_alloc") (param $len i32) (result i32)
    (local $from i32)
    (local.set $from (global.get $heap))
    (if (i32.eq
          (memory.grow (i32.shr_u (i32.add (local.get $len) (i32.const 65535)) (i32.const 16)))
          (i32.const -1))
      (then (return (i32.const 0))))
    (global.set $heap (i32.mul (memory.size) (i32.const 65536)))
    (local.get $from))
  (func (export "same") (param i32 i32) (result i32)
    (call $output (local.get 0) (local.get 1) (i32.const 1))
    (i32.const 0))
)
