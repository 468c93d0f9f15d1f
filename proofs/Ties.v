(* TIES depends on the basis.

   Sign election and trimming act on entries.  So TIES commutes with signed
   permutations of rows and columns, and with nothing more: a rotation by
   (3/5, 4/5) changes what the merge returns, trimmed or not.  Even signed
   permutations need every election to be decided: at an entry whose values sum
   to 0 without all being 0, any fixed sign, and the majority sign too, picks a
   side that a change of signs does not carry along.

   Entries are merged as lists, with foldr in place of the locked big sums, so
   that the counterexamples compute. *)
From mathcomp Require Import all_ssreflect all_fingroup all_algebra.
From CoreMerge Require Import Frame.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Ties.
Variable F : realFieldType.

Definition total (x : seq F) := foldr +%R 0 x.

(* The elected sign; [zero] decides where the sum is 0. *)
Definition elect (zero : F) (x : seq F) :=
  if total x == 0 then zero else Num.sg (total x).

(* Mean over the nonzero entries that have the elected sign (0 if none). *)
Definition agreeing (e : F) (x : seq F) :=
  [seq v <- x | (v != 0) && (Num.sg v == e)].
Definition ties_entry (zero : F) (x : seq F) :=
  let a := agreeing (elect zero x) x in total a / (size a)%:R.

(* [rule] makes the sign for undecided entries out of the summed matrix. *)
Definition sums p q (M : seq 'M[F]_(p, q)) : 'M[F]_(p, q) :=
  \matrix_(i, j) total [seq N i j | N : 'M_(p, q) <- M].
Definition ties p q (rule : 'M[F]_(p, q) -> F) (M : seq 'M[F]_(p, q)) :
    'M[F]_(p, q) :=
  \matrix_(i, j) ties_entry (rule (sums M)) [seq N i j | N : 'M_(p, q) <- M].

Definition positive p q (_ : 'M[F]_(p, q)) : F := 1.
Definition majority p q (S : 'M[F]_(p, q)) : F :=
  Num.sg (\sum_i \sum_j Num.sg (S i j)).

(* The entries at least as large as the K-th largest magnitude: those that
   fewer than K entries exceed.  All equals are kept. *)
Definition larger p q (M : 'M[F]_(p, q)) (x : F) :=
  [set ab : 'I_p * 'I_q | `|x| < `|M ab.1 ab.2|].
Definition trim p q (K : nat) (M : 'M[F]_(p, q)) : 'M[F]_(p, q) :=
  \matrix_(i, j) if (#|larger M (M i j)| < K)%N then M i j else 0.

Definition trimmed_ties p q K (rule : 'M[F]_(p, q) -> F) M :=
  ties rule (map (trim K) M).

(* Signed permutation matrices. *)
Definition sign_row p (e : 'rV[F]_p) := forall i, e 0 i = 1 \/ e 0 i = - 1.
Definition signed_perm p (e : 'rV[F]_p) (s : 'S_p) : 'M[F]_p :=
  diag_mx e *m perm_mx s.

Lemma signed_permL p q (e : 'rV_p) (s : 'S_p) (M : 'M[F]_(p, q)) i j :
  (signed_perm e s *m M) i j = e 0 i * M (s i) j.
Proof. by rewrite -mulmxA -row_permE mul_diag_mx !mxE. Qed.

Lemma signed_permE p q (e : 'rV_p) (s : 'S_p) (f : 'rV_q) (u : 'S_q)
    (M : 'M[F]_(p, q)) i j :
  (signed_perm e s *m M *m (signed_perm f u)^T) i j =
  e 0 i * f 0 j * M (s i) (u j).
Proof.
transitivity ((signed_perm f u *m (signed_perm e s *m M)^T) j i).
  by rewrite -[X in X *m _]trmxK -trmx_mul mxE.
by rewrite signed_permL mxE signed_permL mulrCA mulrA.
Qed.

Lemma signed_perm_orthonormal p (e : 'rV_p) (s : 'S_p) :
  sign_row e -> orthonormal (signed_perm e s).
Proof.
move=> e1; rewrite /orthonormal /signed_perm trmx_mul tr_diag_mx tr_perm_mx.
have -> : perm_mx s^-1 *m diag_mx e *m (diag_mx e *m perm_mx s) =
          perm_mx s^-1 *m (diag_mx e *m diag_mx e) *m perm_mx s.
  by rewrite !mulmxA.
have -> : diag_mx e *m diag_mx e = 1%:M.
  rewrite mulmx_diag -diag_const_mx; congr diag_mx; apply/rowP => i.
  by rewrite !mxE; case: (e1 i) => ->; rewrite ?mulrNN mulr1.
by rewrite mulmx1 -perm_mxM mulVg perm_mx1.
Qed.

(* An election is decided when the sum is not 0, or nothing was there. *)
Definition decided (x : seq F) := total x = 0 -> forall v, v \in x -> v = 0.

Lemma total_map c (x : seq F) : total (map (fun v => c * v) x) = c * total x.
Proof. by elim: x => [|v x /= ->]; rewrite ?mulr0 // mulrDr. Qed.

Lemma agreeing_zero e (x : seq F) :
  (forall v, v \in x -> v = 0) -> agreeing e x = [::].
Proof.
move=> x0; apply/eqP; rewrite -(negbK (_ == _)) -has_filter.
by apply/hasPn => v /x0 ->; rewrite eqxx.
Qed.

Lemma agreeing_sign c e (x : seq F) : c = 1 \/ c = - 1 ->
  agreeing (c * e) (map (fun v => c * v) x) =
  map (fun v => c * v) (agreeing e x).
Proof.
move=> c1; rewrite /agreeing filter_map; congr map; apply: eq_filter => v /=.
case: c1 => ->; first by rewrite !mul1r.
by rewrite !mulN1r oppr_eq0 sgrN eqr_opp.
Qed.

(* Merging entries commutes with signs; the rules for ties may differ. *)
Theorem ties_entry_sign c z z' (x : seq F) : c = 1 \/ c = - 1 -> decided x ->
  ties_entry z' (map (fun v => c * v) x) = c * ties_entry z x.
Proof.
move=> c1 xd; rewrite /ties_entry /elect total_map.
have c0 : c != 0 by case: c1 => ->; rewrite ?oppr_eq0 oner_eq0.
rewrite mulf_eq0 (negbTE c0) /=; case: eqP => [/xd x0|_].
  rewrite !agreeing_zero //= ?mul0r ?mulr0 // => v /mapP[u /x0 -> ->].
  by rewrite mulr0.
have -> : Num.sg (c * total x) = c * Num.sg (total x).
  by rewrite sgrM; case: c1 => ->; rewrite ?sgrN sgr1.
by rewrite agreeing_sign // total_map size_map mulrA.
Qed.

Lemma sign_mul p q (e : 'rV[F]_p) (f : 'rV[F]_q) i j :
  sign_row e -> sign_row f -> e 0 i * f 0 j = 1 \/ e 0 i * f 0 j = - 1.
Proof.
move=> /(_ i)[]-> /(_ j)[]->; rewrite ?mulr1 ?mulrN1 ?opprK; by [left|right].
Qed.

(* TIES is equivariant under signed permutations where all is decided. *)
Theorem ties_signed_perm p q (rule rule' : 'M[F]_(p, q) -> F)
    (e : 'rV_p) (s : 'S_p) (f : 'rV_q) (u : 'S_q) (M : seq 'M[F]_(p, q)) :
  sign_row e -> sign_row f ->
  (forall i j, decided [seq N i j | N : 'M_(p, q) <- M]) ->
  ties rule' [seq signed_perm e s *m N *m (signed_perm f u)^T | N <- M] =
  signed_perm e s *m ties rule M *m (signed_perm f u)^T.
Proof.
move=> e1 f1 Md; apply/matrixP => i j; rewrite signed_permE [LHS]mxE.
rewrite [in RHS]mxE.
have <- := ties_entry_sign (rule (sums M)) (rule' (sums
  [seq signed_perm e s *m N *m (signed_perm f u)^T | N <- M]))
  (sign_mul i j e1 f1) (Md (s i) (u j)).
congr ties_entry; rewrite -!map_comp; apply: eq_map => N /=.
exact: signed_permE.
Qed.

(* So is trimming to an absolute K, with no condition. *)
Theorem trim_signed_perm p q K (e : 'rV_p) (s : 'S_p) (f : 'rV_q) (u : 'S_q)
    (M : 'M[F]_(p, q)) :
  sign_row e -> sign_row f ->
  trim K (signed_perm e s *m M *m (signed_perm f u)^T) =
  signed_perm e s *m trim K M *m (signed_perm f u)^T.
Proof.
move=> e1 f1; set N := _ *m M *m _; apply/matrixP => i j.
rewrite signed_permE [LHS]mxE [in RHS]mxE.
have normN a b : `|N a b| = `|M (s a) (u b)|.
  rewrite signed_permE normrM; case: (sign_mul a b e1 f1) => ->.
    by rewrite normr1 mul1r.
  by rewrite normrN normr1 mul1r.
pose h (ab : 'I_p * 'I_q) := (s ab.1, u ab.2).
have hbij : bijective h.
  exists (fun ab => ((s^-1)%g ab.1, (u^-1)%g ab.2)) => -[a b].
    by rewrite /h /= !permK.
  by rewrite /h /= !permKV.
have -> : #|larger N (N i j)| = #|larger M (M (s i) (u j))|.
  transitivity #|h @^-1: larger M (M (s i) (u j))|.
    by apply: eq_card => ab; rewrite /larger !inE /= !normN.
  exact: on_card_preimset (onW_bij _ hbij).
by rewrite signed_permE; case: ifP => // _; rewrite mulr0.
Qed.

Corollary trimmed_ties_signed_perm p q K (rule rule' : 'M[F]_(p, q) -> F)
    (e : 'rV_p) (s : 'S_p) (f : 'rV_q) (u : 'S_q) (M : seq 'M[F]_(p, q)) :
  sign_row e -> sign_row f ->
  (forall i j, decided [seq trim K N i j | N : 'M_(p, q) <- M]) ->
  trimmed_ties K rule'
    [seq signed_perm e s *m N *m (signed_perm f u)^T | N <- M] =
  signed_perm e s *m trimmed_ties K rule M *m (signed_perm f u)^T.
Proof.
move=> e1 f1 Md; rewrite /trimmed_ties -(ties_signed_perm rule rule') //.
  rewrite -!map_comp; congr ties; apply: eq_map => N /=.
  exact: trim_signed_perm.
by move=> i j; rewrite -map_comp; exact: Md.
Qed.

End Ties.

(* The counterexamples, exact over the rationals.  A_1 = A_2 = (1 0), B_1 and
   B_2 are 5 e_1 and 5 e_2: two rank-one updates. *)
Section Counterexamples.

Definition mx22 (a b c d : rat) : 'M[rat]_2 :=
  \matrix_(i, j) if i == 0 then (if j == 0 then a else b)
                 else (if j == 0 then c else d).

Let D1 := mx22 5%:Q 0 0 0.
Let D2 := mx22 0 0 5%:Q 0.
Let U := mx22 (3%:Q / 5%:Q) (- (4%:Q / 5%:Q)) (4%:Q / 5%:Q) (3%:Q / 5%:Q).
Let V : 'M[rat]_2 := 1%:M.

Lemma mx22E (M : 'M[rat]_2) : M = mx22 (M 0 0) (M 0 1) (M 1 0) (M 1 1).
Proof.
apply/matrixP => -[[|[|//]] Hi] [[|[|//]] Hj]; rewrite mxE /=;
  by congr (M _ _); apply: val_inj.
Qed.

Lemma mul22 a b c d a' b' c' d' :
  mx22 a b c d *m mx22 a' b' c' d' =
  mx22 (a * a' + b * c') (a * b' + b * d') (c * a' + d * c') (c * b' + d * d').
Proof.
rewrite [LHS]mx22E; congr mx22; rewrite mxE !big_ord_recl big_ord0 addr0 !mxE;
  by [].
Qed.

Lemma tr22 a b c d : (mx22 a b c d)^T = mx22 a c b d.
Proof. by rewrite [LHS]mx22E; congr mx22; rewrite !mxE. Qed.

Lemma rotation_orthonormal : orthonormal U.
Proof.
rewrite /orthonormal /U tr22 mul22 [RHS]mx22E !mxE /=.
by congr mx22; apply/eqP; vm_compute.
Qed.

Lemma sums22 a b c d a' b' c' d' :
  sums [:: mx22 a b c d; mx22 a' b' c' d'] =
  mx22 (total [:: a; a']) (total [:: b; b'])
       (total [:: c; c']) (total [:: d; d']).
Proof. by rewrite [LHS]mx22E; congr mx22; rewrite mxE /= !mxE. Qed.

Lemma ties22 rule a b c d a' b' c' d' :
  let M := [:: mx22 a b c d; mx22 a' b' c' d'] in let z := rule (sums M) in
  ties rule M = mx22 (ties_entry z [:: a; a']) (ties_entry z [:: b; b'])
                     (ties_entry z [:: c; c']) (ties_entry z [:: d; d']).
Proof. by move=> M z; rewrite [LHS]mx22E; congr mx22; rewrite mxE /= !mxE. Qed.

Lemma majority22 a b c d :
  majority (mx22 a b c d) =
  Num.sg (Num.sg a + Num.sg b + (Num.sg c + Num.sg d)).
Proof. by rewrite /majority !big_ord_recl !big_ord0 !addr0 !mxE. Qed.

Definition keep1 (x : rat) (l : seq rat) :=
  if all (fun y => `|y| <= `|x|) l then x else 0.

Lemma mem22 (M : 'M[rat]_2) k l :
  M k l \in [:: M 0 0; M 0 1; M 1 0; M 1 1].
Proof.
rewrite {1}[M]mx22E mxE !inE.
by case: (k == 0); case: (l == 0); rewrite eqxx ?orbT.
Qed.

Lemma trim22 a b c d : trim 1 (mx22 a b c d) =
  mx22 (keep1 a [:: a; b; c; d]) (keep1 b [:: a; b; c; d])
       (keep1 c [:: a; b; c; d]) (keep1 d [:: a; b; c; d]).
Proof.
set M := mx22 a b c d.
have E i j : trim 1 M i j = keep1 (M i j) [:: M 0 0; M 0 1; M 1 0; M 1 1].
  rewrite mxE /keep1 ltnS leqn0 cards_eq0; congr (if _ then _ else _).
  apply/eqP/allP => [L0 y|L1].
    rewrite !inE => My; rewrite leNgt; apply/negP => lt.
    have [[k l] yE] : exists kl, y = M kl.1 kl.2.
      by case/or4P: My => /eqP ->; [exists (0, 0) | exists (0, 1)
        | exists (1, 0) | exists (1, 1)].
    have : (k, l) \in larger M (M i j) by rewrite inE /= -yE.
    by rewrite L0 inE.
  by apply/setP => -[k l]; rewrite !inE /= ltNge L1 // mem22.
by rewrite [LHS]mx22E !E !mxE.
Qed.

Lemma ties_entry_zeros (z : rat) : ties_entry z [:: 0; 0] = 0.
Proof.
rewrite /ties_entry agreeing_zero //= ?mul0r // => v.
by rewrite !inE => /orP[]/eqP.
Qed.

Lemma encode1 : encode U V D1 = mx22 3%:Q 0 (- 4%:Q) 0.
Proof.
rewrite /encode mulmx1 /U /D1 tr22 mul22.
by congr mx22; apply/eqP; vm_compute.
Qed.

Lemma encode2 : encode U V D2 = mx22 4%:Q 0 3%:Q 0.
Proof.
rewrite /encode mulmx1 /U /D2 tr22 mul22.
by congr mx22; apply/eqP; vm_compute.
Qed.

(* In the standard basis and in the rotated one, for every tie rule. *)
Theorem ties_standard rule : ties rule [:: D1; D2] = mx22 5%:Q 0 5%:Q 0.
Proof.
rewrite ties22 !ties_entry_zeros.
by congr mx22; apply/eqP; vm_compute.
Qed.

Theorem ties_rotated rule :
  decode U V (ties rule [:: encode U V D1; encode U V D2]) =
  mx22 (53%:Q / 10%:Q) 0 (2%:Q / 5%:Q) 0.
Proof.
rewrite encode1 encode2 ties22 !ties_entry_zeros /decode trmx1 mulmx1 mul22.
by congr mx22; apply/eqP; vm_compute.
Qed.

(* The space is lossless, and TIES in it is another merge. *)
Theorem ties_basis_dependent rule rule' :
  [/\ orthonormal U, orthonormal V, lossless U V D1, lossless U V D2
    & decode U V (ties rule [:: encode U V D1; encode U V D2]) <>
      ties rule' [:: D1; D2]].
Proof.
have UU : U *m U^T = 1%:M by apply: mulmx1C; exact: rotation_orthonormal.
have UV D : lossless U V D.
  by rewrite /lossless /decode /encode trmx1 !mulmx1 mulmxA UU mul1mx.
split=> //; [exact: rotation_orthonormal | exact: orthonormal1 |].
rewrite ties_rotated ties_standard => /matrixP/(_ 0 0).
by rewrite !mxE /= => /eqP; vm_compute.
Qed.

(* The same with each task trimmed to its largest entry. *)
Lemma keep1_0 l : keep1 0 l = 0.
Proof. by rewrite /keep1; case: ifP. Qed.

Theorem trimmed_ties_standard rule :
  trimmed_ties 1 rule [:: D1; D2] = mx22 5%:Q 0 5%:Q 0.
Proof.
rewrite /trimmed_ties /= !trim22 !keep1_0 ties22 !ties_entry_zeros.
by congr mx22; apply/eqP; vm_compute.
Qed.

Theorem trimmed_ties_rotated rule :
  decode U V (trimmed_ties 1 rule [:: encode U V D1; encode U V D2]) =
  mx22 (28%:Q / 5%:Q) 0 (4%:Q / 5%:Q) 0.
Proof.
rewrite encode1 encode2 /trimmed_ties /= !trim22 !keep1_0 ties22.
rewrite !ties_entry_zeros /decode trmx1 mulmx1 mul22.
by congr mx22; apply/eqP; vm_compute.
Qed.

Theorem trimmed_ties_basis_dependent rule rule' :
  decode U V (trimmed_ties 1 rule [:: encode U V D1; encode U V D2]) <>
  trimmed_ties 1 rule' [:: D1; D2].
Proof.
rewrite trimmed_ties_rotated trimmed_ties_standard => /matrixP/(_ 0 0).
by rewrite !mxE /= => /eqP; vm_compute.
Qed.

(* Where an election is undecided, signed permutations do not help either.
   The second entries are 1 and -1; flipping the first column turns the
   majority sign, and with it the answer in the second column. *)
Let N1 := mx22 1 1 0 0.
Let N2 := mx22 0 (- 1) 0 0.
Let flip (sign1 sign2 : rat) : 'rV[rat]_2 :=
  \row_j if j == 0 then sign1 else sign2.

Lemma diag22 x y : signed_perm (flip x y) 1 = mx22 x 0 0 y.
Proof.
rewrite /signed_perm perm_mx1 mulmx1 [LHS]mx22E.
by congr mx22; rewrite !mxE /= ?mulr1n ?mulr0n.
Qed.

Theorem majority_not_equivariant :
  let E := signed_perm (flip 1 1) 1 in let G := signed_perm (flip (- 1) 1) 1 in
  ties (@majority _ 2 2) [:: E *m N1 *m G^T; E *m N2 *m G^T] <>
  E *m ties (@majority _ 2 2) [:: N1; N2] *m G^T.
Proof.
rewrite !diag22 /N1 /N2 !tr22 !mul22 !ties22 !sums22 !majority22 !mul22.
move=> /matrixP/(_ 0 1); rewrite !mxE /= => /eqP.
by vm_compute.
Qed.

(* Nor does a fixed sign: flip the column itself. *)
Theorem positive_not_equivariant :
  let E := signed_perm (flip 1 1) 1 in let G := signed_perm (flip 1 (- 1)) 1 in
  ties (@positive _ 2 2) [:: E *m N1 *m G^T; E *m N2 *m G^T] <>
  E *m ties (@positive _ 2 2) [:: N1; N2] *m G^T.
Proof.
rewrite !diag22 /N1 /N2 !tr22 !mul22 !ties22 !sums22 /positive !mul22.
move=> /matrixP/(_ 0 1); rewrite !mxE /= => /eqP.
by vm_compute.
Qed.

End Counterexamples.
