(* The Karcher mean of the tasks, as points on the unit sphere of matrices,
   needs inner products alone.  Partial isometries that keep the stack keep
   those, so the mean is equivariant: one update for all lossless spaces.

   The field has no sine: sqrt, cos, sin and the angle are any functions, and
   so are the weights of the logarithm ([pull], of the cosine and the sine
   between the mean and a point).  Nothing about them matters. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Frobenius Lossless Equivariance.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Karcher.
Variables (F : realFieldType) (T steps : nat) (w level : 'I_T -> F).
Variables (tol close : F).
Variables (sqrt cos sin : F -> F) (pull : F -> F -> F).
Local Notation tasks p q := (stack F [finType of 'I_T] p q).

Section Mean.
Variables (p q : nat) (M : tasks p q).
Implicit Types (X Y : 'M[F]_(p, q)).

Definition length_of X := sqrt (frob X X).
Definition unit_of X := (length_of X)^-1 *: X.

(* Tasks of weight 0, and tasks that are nothing, take no part. *)
Definition takes_part t := (0 < w t) && (level t < length_of (M t)).
Definition share t := w t / \sum_(i | takes_part i) w i.

(* The normalised mean of the points, or the first point where they cancel. *)
Definition start :=
  let mean := \sum_(t | takes_part t) share t *: unit_of (M t) in
  if close < frob mean mean then unit_of mean
  else if [pick t | takes_part t] is Some t then unit_of (M t) else 0.

(* What the point u has off the mean X, pulled as far as the angle says. *)
Definition logarithm X u :=
  let off := u - frob X u *: X in pull (frob X u) (length_of off) *: off.

Definition advance X :=
  let step := \sum_(t | takes_part t) share t *: logarithm X (unit_of (M t)) in
  let size := length_of step in
  if size < tol then X
  else unit_of (cos size *: X + (sin size / size) *: step).

Definition karcher :=
  (\sum_t w t * length_of (M t)) / (\sum_t w t) *: iter steps advance start.
End Mean.

(* X' is X, carried by E and G without loss. *)
Section Carried.
Variables (p q p' q' : nat) (E : 'M[F]_(p', p)) (G : 'M[F]_(q, q')).

Definition carried (X : 'M[F]_(p, q)) (X' : 'M[F]_(p', q')) :=
  [/\ X' = E *m X *m G, E^T *m E *m X = X & X *m (G *m G^T) = X].

Lemma carried0 : carried 0 0.
Proof. by split; rewrite !(mulmx0, mul0mx). Qed.

Lemma carriedD X X' Y Y' :
  carried X X' -> carried Y Y' -> carried (X + Y) (X' + Y').
Proof.
move=> [-> EX GX] [-> EY GY]; split; first by rewrite mulmxDr mulmxDl.
  by rewrite mulmxDr EX EY.
by rewrite mulmxDl GX GY.
Qed.

Lemma carriedZ c X X' : carried X X' -> carried (c *: X) (c *: X').
Proof.
move=> [-> EX GX]; split; first by rewrite -scalemxAr -scalemxAl.
  by rewrite -scalemxAr EX.
by rewrite -scalemxAl GX.
Qed.

Lemma carried_sum I (r : seq I) (P : pred I) X X' :
  (forall i, P i -> carried (X i) (X' i)) ->
  carried (\sum_(i <- r | P i) X i) (\sum_(i <- r | P i) X' i).
Proof.
move=> XX; apply: big_ind2 => //; first exact: carried0.
by move=> *; exact: carriedD.
Qed.

Lemma carried_frob X X' Y Y' :
  carried X X' -> carried Y Y' -> frob X' Y' = frob X Y.
Proof.
move=> [-> _ _] [-> EY GY]; rewrite /frob !trmx_mul -!mulmxA.
rewrite mxtrace_mulC !mulmxA -(mulmxA _ G) -(mulmxA _ E^T E) -(mulmxA _ _ Y).
by rewrite EY -mulmxA GY.
Qed.

Lemma carried_length X X' : carried X X' -> length_of X' = length_of X.
Proof. by move=> XX; rewrite /length_of (carried_frob XX XX). Qed.

Lemma carried_unit X X' : carried X X' -> carried (unit_of X) (unit_of X').
Proof.
by move=> XX; rewrite /unit_of (carried_length XX); exact: carriedZ.
Qed.

Lemma carried_logarithm X X' u u' : carried X X' -> carried u u' ->
  carried (logarithm X u) (logarithm X' u').
Proof.
move=> XX uu; rewrite /logarithm (carried_frob XX uu).
have off : carried (u - frob X u *: X) (u' - frob X u *: X').
  by rewrite -!scaleNr; apply: carriedD => //; exact: carriedZ.
by rewrite (carried_length off); exact: carriedZ.
Qed.

Variable M : tasks p q.
Hypothesis kM : keeps E G M.
Let M' := move E G M.

Let carriedM t : carried (M t) (M' t).
Proof. by split; rewrite ?ffunE //; case: (kM t). Qed.

Let partE t : takes_part M' t = takes_part M t.
Proof. by rewrite /takes_part (carried_length (carriedM t)). Qed.

Let shareE t : share M' t = share M t.
Proof. by rewrite /share; under eq_bigl do rewrite partE. Qed.

Lemma carried_start : carried (start M) (start M').
Proof.
rewrite /start; under [in X in carried _ X]eq_bigl do rewrite partE.
under [in X in carried _ X]eq_bigr do rewrite shareE.
set mean := \sum_(t | _) _; set mean' := \sum_(t | _) _.
have mm : carried mean mean'.
  by apply: carried_sum => t _; apply: carriedZ; exact: carried_unit.
rewrite (carried_frob mm mm); case: ifP => _; first exact: carried_unit.
rewrite (eq_pick partE); case: pickP => [t _|_]; first exact: carried_unit.
exact: carried0.
Qed.

Lemma carried_advance X X' :
  carried X X' -> carried (advance M X) (advance M' X').
Proof.
move=> XX; rewrite /advance; set step := \sum_(t | _) _.
set step' := \sum_(t | _) _; have ss : carried step step'.
  rewrite /step' (eq_bigl _ _ partE); apply: carried_sum => t _.
  rewrite shareE; apply: carriedZ; apply: carried_logarithm => //.
  exact: carried_unit.
rewrite (carried_length ss); case: ifP => _ //.
by apply: carried_unit; apply: carriedD; exact: carriedZ.
Qed.

Lemma carried_karcher : carried (karcher M) (karcher M').
Proof.
rewrite /karcher; under [\sum_t _ * length_of (M' t)]eq_bigr do
  rewrite (carried_length (carriedM _)).
apply: carriedZ; elim: steps => [|k IH] /=; first exact: carried_start.
exact: carried_advance.
Qed.

End Carried.

Theorem karcher_equivariant : merge_equivariant karcher.
Proof.
by move=> p q p' q' E G M _ _ kM; case: (carried_karcher kM).
Qed.

(* Hence one update for all lossless spaces. *)
Corollary karcher_full m n p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
    (D : tasks m n) :
  pisom U -> pisom V -> (forall i, lossless U V (D i)) ->
  decode U V (karcher (encode_stack U V D)) = karcher D.
Proof. exact: (merge_full karcher_equivariant). Qed.

End Karcher.
