;; A function that does what its input says, "kind id": well, or harm, by the kind's first letter. See functions.c.
(module
  (import "ramet" "output" (func $output (param i32 i32 i32)))
  (import "ramet" "error" (func $error (param i32 i32)))
  (memory (export "memory") 3)
  (table 2 funcref)
  (elem (i32.const 0) $void)
  (type $number (func (result i32)))
  (type $nothing (func))
  (func $void (type $nothing))
  (data (i32.const 0) "no 0")
  (global $zero (mut i32) (i32.const 0))

  (func (export "ramet_alloc") (param i32) (result i32) (i32.const 1024))
  (func $stack (result i32) (i32.add (call $stack) (i32.const 1)))
  (func $loop (loop $again (br $again)))
  ;; memory that is taken and kept, as far as there is any
  (func $grow (loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))))

  ;; from behind the space to the closing quotation mark
  (func $say (param $at i32) (param $end i32)
    (block $found
      (loop $next
        (br_if $found (i32.eq (i32.load8_u (local.get $at)) (i32.const 32)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $at) (local.get $end)))))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (call $output (local.get $at)
      (i32.sub (i32.sub (local.get $end) (local.get $at)) (i32.const 1)) (i32.const 0)))

  (func (export "behave") (param $ptr i32) (param $len i32) (result i32)
    (local $kind i32)
    (local.set $kind (i32.load8_u offset=1 (local.get $ptr)))
    (if (i32.eq (local.get $kind) (i32.const 108)) ;; loop
      (then (call $loop)))
    (if (i32.eq (local.get $kind) (i32.const 98)) ;; bounds
      (then (drop (i32.load offset=0xfffffff0 (local.get $ptr)))))
    (if (i32.eq (local.get $kind) (i32.const 115)) ;; stack
      (then (drop (call $stack))))
    (if (i32.eq (local.get $kind) (i32.const 117)) ;; unreachable
      (then (unreachable)))
    (if (i32.eq (local.get $kind) (i32.const 100)) ;; divide
      (then (drop (i32.div_u (i32.const 1) (global.get $zero)))))
    (if (i32.eq (local.get $kind) (i32.const 105)) ;; indirect
      (then (drop (call_indirect (type $number) (i32.const 0)))))
    (if (i32.eq (local.get $kind) (i32.const 111)) ;; output
      (then (drop (memory.grow (i32.const 32)))
        (call $output (i32.const 0) (i32.const 2097152) (i32.const 1))))
    (if (i32.eq (local.get $kind) (i32.const 114)) ;; raise
      (then (call $error (i32.const 0) (i32.const 4)) (return (i32.const 1))))
    (if (i32.eq (local.get $kind) (i32.const 109)) ;; memory
      (then (call $grow)))
    (call $say (local.get $ptr) (i32.add (local.get $ptr) (local.get $len)))
    (i32.const 0)))
