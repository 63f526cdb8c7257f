"""PaddlePaddle's operators: those that compute and nothing else, and those that are known to reach out."""

from __future__ import annotations

from safeload.rules.catalogue import CODE, FILE, NETWORK
from safeload.rules.wordlist import words

COMPUTES = words(
    """
    abs acos acosh add_n addmm affine_channel affine_grid allclose anchor_generator arange arg_max arg_min
    argsort array_to_lod_tensor asin asinh assign assign_pos assign_value atan atan2 atanh attention_lstm
    batch_fc batch_norm bce_loss beam_search beam_search_decode bicubic_interp bicubic_interp_v2 bilinear_interp
    bilinear_interp_v2 bilinear_tensor_product bipartite_match bitwise_and bitwise_not bitwise_or bitwise_xor
    bmm box_clip box_coder box_decoder_and_assign broadcast_tensors cast ceil celu cholesky clip clip_by_norm
    collect_fpn_proposals concat conditional_block conv2d conv2d_fusion conv2d_transpose conv3d conv3d_transpose
    cos cosh crf_decoding crop_tensor cross cross_entropy cross_entropy2 ctc_align cumprod cumsum data_norm
    deformable_conv deformable_conv_v1 density_prior_box depthwise_conv2d depthwise_conv2d_transpose
    dequantize_abs_max dequantize_linear diag_v2 diagonal distribute_fpn_proposals dot dropout eigh einsum
    elementwise_add elementwise_div elementwise_floordiv elementwise_max elementwise_min elementwise_mod
    elementwise_mul elementwise_pow elementwise_sub elu embedding_eltwise_layernorm empty equal equal_all erf
    exp expand expand_as expand_as_v2 expand_v2 eye fake_channel_wise_dequantize_max_abs
    fake_channel_wise_quantize_dequantize_abs_max fake_dequantize_max_abs fake_quantize_abs_max
    fake_quantize_dequantize_abs_max fake_quantize_dequantize_moving_average_abs_max
    fake_quantize_moving_average_abs_max fake_quantize_range_abs_max fc feed fetch fill_any_like fill_constant
    fill_constant_batch_size_like fill_zeros_like flatten flatten2 flatten_contiguous_range flip floor
    fused_attention fused_elemwise_activation fused_feedforward fused_multi_transformer gather gather_nd
    gather_tree gaussian_random gelu generate_proposals generate_proposals_v2 greater_equal greater_than
    grid_sampler group_norm gru gru_unit hard_shrink hard_sigmoid hard_swish huber_loss im2sequence increment
    index_sample index_select instance_norm inverse iou_similarity is_empty isfinite_v2 isinf_v2 isnan_v2
    kldiv_loss kron label_smooth layer_norm leaky_relu less_equal less_than linear_interp linear_interp_v2
    linspace locality_aware_nms lod_array_length lod_rank_table lod_reset lod_tensor_to_array log log10 log1p
    log2 log_softmax logical_and logical_not logical_or logical_xor logsigmoid logsumexp lookup_table
    lookup_table_v2 lrn lstm lstm_unit margin_rank_loss masked_select matmul matmul_v2 matrix_nms
    max_pool2d_with_index max_sequence_len mean memcpy meshgrid mish mul multiclass_nms multiclass_nms2
    multiclass_nms3 multihead_matmul multinomial mv nearest_interp nearest_interp_v2 nonzero norm not_equal
    one_hot one_hot_v2 p_norm pad pad2d pad3d pixel_shuffle polygon_box_transform pool2d pool3d pow prelu
    prior_box quantize_linear randint random_crop range read_from_array reciprocal reduce_all reduce_any
    reduce_max reduce_mean reduce_min reduce_prod reduce_sum relu relu6 reorder_lod_tensor_by_rank reshape
    reshape2 reverse rnn roi_align roi_pool roll round rsqrt scale scatter scatter_nd_add select_input
    select_output selu sequence_concat sequence_conv sequence_expand sequence_expand_as sequence_mask
    sequence_pad sequence_pool sequence_reshape sequence_reverse sequence_softmax sequence_unpad set_value shape
    share_data shrink_rnn_memory shuffle_channel sigmoid sigmoid_cross_entropy_with_logits sign silu sin sinh
    size skip_layernorm slice softmax softmax_with_cross_entropy softplus softshrink softsign space_to_depth
    spectral_norm split sqrt square squeeze squeeze2 stack strided_slice sum swish sync_batch_norm tan tanh
    tanh_shrink temporal_shift tensor_array_to_tensor thresholded_relu tile top_k top_k_v2 transpose transpose2
    tril_triu trilinear_interp trilinear_interp_v2 unbind unfold uniform_random unique unsqueeze unsqueeze2
    unstack where where_index while write_to_array yolo_box yolov3_loss
    """
)

REACHES = {
    **dict.fromkeys(words("py_func py_layer run_program"), CODE),
    **dict.fromkeys(
        words("save load save_combine load_combine sparse_tensor_load read create_custom_reader tdm_sampler print"),
        FILE,
    ),
    **dict.fromkeys(
        words("listen_and_serv heter_listen_and_serv send recv send_v2 recv_v2 send_and_recv distributed_lookup_table"),
        NETWORK,
    ),
}
"""By operator: what it can do."""
