(* The singular values in descending order are one list: two compact SVDs of a
   matrix have the same.

   With H the root of X^T X, diag(s) = Q^T H Q and Q^T Q' is orthogonal, so
   diag(s) and diag(s') have one characteristic polynomial, that is the same
   values as often. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Svd.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section SingularValues.
Variable F : realFieldType.

Definition descending k (s : 'rV[F]_k) :=
  forall i j : 'I_k, (i <= j)%N -> s 0 j <= s 0 i.

Definition values k (s : 'rV[F]_k) : seq F := [seq s 0 i | i <- enum 'I_k].

Lemma nth_values k (s : 'rV[F]_k) (i : 'I_k) : nth 0 (values s) i = s 0 i.
Proof. by rewrite (nth_map i) ?nth_ord_enum // size_enum_ord. Qed.

Lemma perm_XsubC (x y : seq F) :
  \prod_(a <- x) ('X - a%:P) = \prod_(a <- y) ('X - a%:P) -> perm_eq x y.
Proof.
elim: x y => [|a x IH] y E.
  have /eqP := congr1 (size : {poly F} -> nat) E.
  by rewrite !size_prod_XsubC /= eqSS eq_sym size_eq0 => /eqP ->.
have ay : a \in y.
  by rewrite -root_prod_XsubC -E root_prod_XsubC mem_head.
rewrite perm_sym (perm_trans (perm_to_rem ay)) // perm_cons perm_sym; apply: IH.
move: E; rewrite (perm_big _ (perm_to_rem ay)) !big_cons => /mulfI; apply.
by rewrite polyXsubC_eq0.
Qed.

Lemma char_poly_orthonormal k (O D : 'M[F]_k) :
  orthonormal O -> char_poly (O^T *m D *m O) = char_poly D.
Proof.
move=> OO; pose C := map_mx (@polyC F) O.
have CC : C^T *m C = 1%:M by rewrite /C map_trmx -map_mxM OO map_scalar_mx.
have E : char_poly_mx (O^T *m D *m O) = C^T *m char_poly_mx D *m C.
  rewrite /char_poly_mx !map_mxM -map_trmx mulmxBr mulmxBl; congr (_ - _).
  by rewrite mul_mx_scalar -scalemxAl CC scalemx1.
rewrite /char_poly E !det_mulmx mulrAC -det_mulmx det_mulmx mulrC.
by rewrite -det_mulmx CC det1 mulr1.
Qed.

Lemma char_poly_diag k (s : 'rV[F]_k) :
  char_poly (diag_mx s) = \prod_(a <- values s) ('X - a%:P).
Proof.
rewrite char_poly_trig ?diag_mx_is_trig // /values big_map big_enum /=.
by apply: eq_bigr => i _; rewrite mxE eqxx.
Qed.

Theorem singular_values_perm m n k (X : 'M[F]_(m, n))
    (P : 'M_(m, k)) s (Q : 'M_(n, k)) (P' : 'M_(m, k)) s' (Q' : 'M_(n, k)) :
  csvd X P s Q -> csvd X P' s' Q' -> perm_eq (values s) (values s').
Proof.
move=> svd svd'; have HE := csvd_root svd svd'.
have QE := csvd_proj_right svd svd'; have [_ QQ s0 _] := svd.
have [_ QQ' _ _] := svd'; apply: perm_XsubC; rewrite -!char_poly_diag.
have OO : orthonormal (Q'^T *m Q).
  rewrite /orthonormal trmx_mul trmxK mulmxA -(mulmxA _ Q') -QE.
  by rewrite !mulmxA QQ mul1mx QQ.
rewrite -(char_poly_orthonormal (diag_mx s') OO); congr char_poly.
transitivity (Q^T *m psd Q s *m Q).
  by rewrite /psd !mulmxA QQ mul1mx -mulmxA QQ mulmx1.
by rewrite HE /psd trmx_mul trmxK !mulmxA.
Qed.

Theorem singular_values_uniq m n k (X : 'M[F]_(m, n))
    (P : 'M_(m, k)) s (Q : 'M_(n, k)) (P' : 'M_(m, k)) s' (Q' : 'M_(n, k)) :
  csvd X P s Q -> csvd X P' s' Q' -> descending s -> descending s' -> s = s'.
Proof.
move=> svd svd' sd sd'.
have sorted_values (t : 'rV[F]_k) : descending t -> sorted >=%O (values t).
  move=> td; apply/(sortedP 0) => i; rewrite size_map size_enum_ord => ik.
  have il : (i < k)%N := ltnW ik.
  have := td (Ordinal il) (Ordinal ik) (leqnSn i).
  by rewrite -!nth_values.
have E : values s = values s'.
  apply: (@sorted_eq _ >=%O) (singular_values_perm svd svd').
  - exact: ge_trans.
  - by move=> x y; rewrite andbC => /le_anti.
  - exact: sorted_values.
  - exact: sorted_values.
apply/rowP => i; have := congr1 (nth 0 ^~ i) E.
by rewrite /= !nth_values.
Qed.

End SingularValues.
