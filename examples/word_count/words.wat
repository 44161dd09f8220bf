;; How many words a text has. Input is JSON: a string, in which blanks and, as \n and its like, other space stand between words.
(module
  (import "ramet" "output" (func $output (param i32 i32 i32)))
  (memory (export "memory") 2)

  ;; the input comes to the second page, which grows with it
  (func (export "ramet_alloc") (param $len i32) (result i32)
    (local $more i32)
    (local.set $more
      (i32.sub (i32.shr_u (i32.add (local.get $len) (i32.const 131071)) (i32.const 16)) (memory.size)))
    (if (i32.gt_s (local.get $more) (i32.const 0))
      (then
        (if (i32.eq (memory.grow (local.get $more)) (i32.const -1)) (then (return (i32.const 0))))))
    (i32.const 65536))

  ;; n, r, t or f behind a backslash
  (func $stands_for_space (param $c i32) (result i32)
    (i32.or
      (i32.or (i32.eq (local.get $c) (i32.const 110)) (i32.eq (local.get $c) (i32.const 114)))
      (i32.or (i32.eq (local.get $c) (i32.const 116)) (i32.eq (local.get $c) (i32.const 102)))))

  (func $answer (param $n i32)
    (local $at i32)
    (local.set $at (i32.const 100))
    (loop $next
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (local.set $n (i32.div_u (local.get $n) (i32.const 10)))
      (br_if $next (local.get $n)))
    (call $output (local.get $at) (i32.sub (i32.const 100) (local.get $at)) (i32.const 0)))

  (func (export "count") (param $at i32) (param $len i32) (result i32)
    (local $end i32) (local $c i32) (local $space i32) (local $inside i32) (local $words i32)
    (local.set $end (i32.sub (i32.add (local.get $at) (local.get $len)) (i32.const 1)))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $c (i32.load8_u (local.get $at)))
        (local.set $space (i32.eq (local.get $c) (i32.const 32)))
        (if (i32.eq (local.get $c) (i32.const 92)) ;; a backslash, and what it stands before
          (then
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (local.set $space (call $stands_for_space (i32.load8_u (local.get $at))))))
        (local.set $words (i32.add (local.get $words)
          (i32.and (i32.eqz (local.get $space)) (i32.eqz (local.get $inside)))))
        (local.set $inside (i32.eqz (local.get $space)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (call $answer (local.get $words))
    (i32.const 0)))
